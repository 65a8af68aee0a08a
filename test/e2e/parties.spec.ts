/**
 * Parties over HTTP: what is said of persons is kept sealed, shown as the caller may see it, reported to the person, and forgotten, and
 * every proof, number and balance stays what it was.
 */
import { verifyInclusion } from '#event-store';
import { type Api, created, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;
/** Secrets of a key without scopes, and of one that may read personal data. */
let clerk: string;
let officer: string;
let now = Date.now();

beforeAll(async () => {
  api = await startApi({ READ_WAIT_MS: '20000', CHECKPOINT_MS: '20', RETENTION_MS: '86400000' });
  clerk = (await api.keys.create('clerk')).secret;
  officer = (await api.keys.create('officer', ['personal'])).secret;
  book = await openBook(api, 'persons', { entity: { legalName: 'Acme GmbH', country: 'DE' } });
  await created(api.post(`${book}/accounts`, { code: 'Receivables', name: 'Receivables', type: 'asset', control: 'customer' }));
});
afterAll(() => api?.close());

const jane = {
  kind: 'customer',
  reference: 'C-1042',
  country: 'DE',
  name: 'Jane Roe',
  address: 'Hauptstraße 1\n10115 Berlin',
  email: 'jane@example.org',
  note: 'prefers, "post" calls',
};

const opened = async (more: object = {}, key?: string): Promise<string> =>
  (await created(api.post(`${book}/parties`, { ...jane, ...more }, key === undefined ? {} : { key }))).body.id as string;

const sale = (party: string, more: object = {}): object => ({
  effectiveDate: '2026-03-01',
  description: { subject: party, value: 'Sale to Jane Roe, "second" floor' },
  lines: [
    { account: 'Receivables', side: 'debit', amount: '10.00', currency: 'EUR', party: { id: party, kind: 'customer' } },
    { account: 'Income:Sales', side: 'credit', amount: '10.00', currency: 'EUR', description: { subject: party, value: 'for Jane Roe' } },
  ],
  metadata: { channel: 'shop', contact: { subject: party, value: 'Jane Roe at the desk' } },
  ...more,
});

const open = (secret = officer): { readonly secret: string; readonly headers: Record<string, string> } => ({
  secret,
  headers: { 'personal-data': 'open' },
});
const eraseBody = { legalBasis: 'GDPR Art. 17(1)(a)', reason: 'asked for it' };
const erase = (party: string, key?: string): Promise<Reply> =>
  api.post(`${book}/parties/${party}/erase`, eraseBody, key === undefined ? { secret: officer } : { secret: officer, key });

describe('a party', () => {
  it('is shown by a pseudonym, by name to whoever may see it and asks for it, and as it is stored', async () => {
    const id = await opened();
    const masked = (await api.get(`${book}/parties/${id}`, { secret: clerk })).body;
    expect(masked).toMatchObject({ id, kind: 'customer', reference: 'C-1042', country: 'DE', status: 'open', holds: [] });
    expect(masked.pseudonym).toMatch(/^P-[0-9A-Z]{12}$/);
    for (const member of ['name', 'address', 'email', 'note']) expect(masked[member]).toBe(`[${masked.pseudonym}]`);
    expect((await api.get(`${book}/parties/${id}`, open())).body).toMatchObject(jane);
    const sealed = (await api.get(`${book}/parties/${id}`, { headers: { 'personal-data': 'sealed' } })).body;
    expect(sealed.name).toMatch(new RegExp(`^sealed:v1:${id}:identity:`));
    expect(sealed.email).toMatch(new RegExp(`^sealed:v1:${id}:contact:`));
  });

  it('is shown open to nobody without the scope, and to nobody who asks for something else', async () => {
    const id = await opened();
    expect(await api.get(`${book}/parties/${id}`, open(clerk))).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    const wrong = { headers: { 'personal-data': 'all' } };
    expect(await api.get(`${book}/parties/${id}`, wrong)).toMatchObject({
      status: 400,
      body: { code: 'malformed', member: 'Personal-Data' },
    });
    for (const [path, body] of [
      ['erase', eraseBody],
      ['holds', { hold: 'case', reason: 'x' }],
      ['holds/release', { hold: 'case', reason: 'x' }],
    ] as const)
      expect(await api.post(`${book}/parties/${id}/${path}`, body, { secret: clerk })).toMatchObject({ status: 403 });
    expect(await api.get(`${book}/parties/${id}/report`, { secret: clerk })).toMatchObject({ status: 403 });
  });

  it('is shown open by no service that records nobody who looks', async () => {
    const silent = await startApi({ ACTIONS: 'off' });
    try {
      const path = await openBook(silent, 'silent');
      const { secret } = await silent.keys.create('officer', ['personal']);
      const { id } = (await created(silent.post(`${path}/parties`, jane))).body;
      const refused = { status: 403, body: { code: 'forbidden', detail: expect.stringContaining('ACTIONS=off') } };
      expect(await silent.get(`${path}/parties/${id}`, open(secret))).toMatchObject(refused);
      expect(await silent.get(`${path}/parties/${id}/report`, { secret })).toMatchObject(refused);
      expect((await silent.get(`${path}/parties/${id}`, { secret })).status).toBe(200);
    } finally {
      await silent.close();
    }
  });

  it('whose keys are out of reach is told without saying where they are kept', async () => {
    const away = await startApi({ MASTER_KEY_COMMAND: '/secret/place/of/keys' });
    try {
      const path = await openBook(away, 'away');
      const refused = await away.post(`${path}/parties`, jane);
      expect(refused).toMatchObject({ status: 503, body: { code: 'keys_unavailable' } });
      expect(refused.text).not.toContain('/secret');
    } finally {
      await away.close();
    }
  });

  it('is opened once however often it is sent, and a key that meant another person is refused by what differs', async () => {
    const first = await created(api.post(`${book}/parties`, jane, { key: 'open-once' }));
    const again = await api.post(`${book}/parties`, jane, { key: 'open-once' });
    expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([201, first.text, 'true']);
    const other = await api.post(`${book}/parties`, { ...jane, name: 'John Roe' }, { key: 'open-once' });
    expect(other).toMatchObject({ status: 409, body: { code: 'idempotency_key_reused', members: ['name'] } });
  });

  it('is listed in the order of opening, a page at a time, and found by its reference', async () => {
    const ids = [await opened({ reference: 'L-1' }), await opened({ reference: 'L-2' }), await opened({ reference: 'L-1' })];
    const found = (await api.get(`${book}/parties?reference=L-1`)).body.parties.map(({ id }: { id: string }) => id);
    expect(found).toEqual([ids[0], ids[2]]);
    const seen: string[] = [];
    for (let cursor = ''; ; ) {
      const page = (await api.get(`${book}/parties?limit=2${cursor}`)).body;
      seen.push(...page.parties.map(({ id }: { id: string }) => id));
      if (page.nextCursor === undefined) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(seen.slice(-3)).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('is changed, closed and held', async () => {
    const id = await opened();
    const changed = await api.post(`${book}/parties/${id}/change`, { name: 'Jane Doe', reason: 'married' });
    expect(changed).toMatchObject({ status: 200, body: { id, kind: 'customer', status: 'open', holds: [] } });
    expect((await api.get(`${book}/parties/${id}`, open())).body).toMatchObject({ ...jane, name: 'Jane Doe' });
    const held = await api.post(`${book}/parties/${id}/holds`, { hold: 'case 1', reason: 'law suit' }, { secret: officer });
    expect(held).toMatchObject({ status: 200, body: { holds: ['case 1'] } });
    expect(await erase(id)).toMatchObject({ status: 422, body: { code: 'legal_hold', holds: ['case 1'] } });
    expect(await api.post(`${book}/parties/${id}/holds/release`, { hold: 'case 1', reason: 'won' }, { secret: officer })).toMatchObject({
      body: { holds: [] },
    });
    expect(await api.post(`${book}/parties/${id}/close`, {})).toMatchObject({ status: 200, body: { status: 'closed' } });
    expect(await api.post(`${book}/journal-entries`, sale(id))).toMatchObject({ status: 422, body: { code: 'party_closed' } });
  });
});

describe('texts about a person', () => {
  it('are sealed wherever they stand, and shown alike in entries, statements, journals and their CSV', async () => {
    const party = await opened();
    const { id, position } = (await created(api.post(`${book}/journal-entries`, sale(party)))).body;
    const { pseudonym } = (await api.get(`${book}/parties/${party}`)).body;
    const stored = (await api.service.store.readAll('persons', position - 1, 1))[0]?.data as Record<string, never>;
    expect(JSON.stringify(stored)).not.toContain('Jane');
    expect(stored).toMatchObject({
      description: expect.stringMatching(`^sealed:v1:${party}:entries-2026:`),
      lines: [{}, { description: expect.stringContaining(':lines.1.description:') }],
      metadata: { channel: 'shop', contact: expect.stringContaining(':metadata.contact:') },
    });
    const masked = `[${pseudonym}]`;
    expect((await api.get(`${book}/journal-entries/${id}`)).body).toMatchObject({
      description: masked,
      lines: [{}, { description: masked }],
      metadata: { contact: masked },
    });
    expect((await api.get(`${book}/journal-entries/${id}`, open())).body).toMatchObject({
      description: 'Sale to Jane Roe, "second" floor',
      lines: [{}, { description: 'for Jane Roe' }],
      metadata: { channel: 'shop', contact: 'Jane Roe at the desk' },
    });
    const paths = [
      'accounts/Income%3ASales/statement',
      'reports/general-ledger?from=2026-01-01&to=2026-12-31',
      'reports/journal?from=2026-01-01&to=2026-12-31',
      `reports/changes-since?from=2026-01-01&to=2026-12-31&since=${position - 1}`,
    ];
    for (const path of paths)
      for (const accept of ['application/json', 'text/csv']) {
        const shown = await api.get(`${book}/${path}`, { headers: { accept } });
        expect([path, accept, shown.status, shown.text.includes(masked), /Jane|sealed:v1/.test(shown.text)]).toEqual([
          path,
          accept,
          200,
          true,
          false,
        ]);
        const revealed = await api.get(`${book}/${path}`, { secret: officer, headers: { accept, 'personal-data': 'open' } });
        expect([path, accept, /Jane Roe/.test(revealed.text), /sealed:v1/.test(revealed.text)]).toEqual([path, accept, true, false]);
        if (accept === 'text/csv' && path.includes('journal')) expect(revealed.text).toContain('"Sale to Jane Roe, ""second"" floor"');
      }
  });

  it('are exported by pseudonym, or as they were said', async () => {
    const party = await opened();
    await created(api.post(`${book}/journal-entries`, sale(party)));
    const { pseudonym } = (await api.get(`${book}/parties/${party}`)).body;
    for (const format of ['csv', 'jsonl', 'hledger', 'ledger', 'beancount']) {
      const without = await api.get(`${book}/exports/${format}`, { secret: clerk });
      expect([format, without.status, /Jane|sealed:v1/.test(without.bytes.toString('latin1'))]).toEqual([format, 200, false]);
      if (format !== 'csv') expect(without.text).toContain(pseudonym);
      const given = await api.get(`${book}/exports/${format}`, open());
      if (format !== 'csv')
        expect([format, given.text.includes('Jane Roe'), given.text.includes('sealed:v1')]).toEqual([format, true, false]);
    }
    expect((await api.get(`${book}/exports/hledger`, open(clerk))).status).toBe(403);
  });

  it('are found in long answers whatever quotes and line ends stand around them, and nobody waits for that', async () => {
    const path = await openBook(api, 'quotes');
    const party = (await created(api.post(`${path}/parties`, jane))).body.id as string;
    const entry = (description: unknown) => ({
      effectiveDate: '2026-03-01',
      description,
      lines: ['debit', 'credit'].map((side) => ({
        account: side === 'debit' ? 'Assets:Cash' : 'Income:Sales',
        side,
        amount: '1.00',
        currency: 'EUR',
        description: 'one line,\nand "another',
      })),
    });
    await created(api.post(`${path}/journal-entries`, entry('pipe of 5" width')));
    for (let batch = 0; batch < 3; batch++) {
      const entries = Array.from({ length: 400 }, (_, index) =>
        entry(index % 10 === 0 ? { subject: party, value: 'for "Jane",\n5" wide' } : `ordinary ${index}`),
      );
      expect((await api.post(`${path}/journal-entries/batch`, { atomic: true, entries })).status).toBeLessThan(300);
    }
    const started = performance.now();
    const journal = 'reports/journal?from=2026-01-01&to=2026-12-31';
    const inJson = '"for \\"Jane\\",\\n5\\" wide"';
    for (const [question, accept, said, expected] of [
      ['exports/jsonl', 'application/jsonl', inJson, 120],
      // A page of a hundred entries; CSV has all of them, with a row for each line.
      [journal, 'application/json', inJson, 10],
      [journal, 'text/csv', '"for ""Jane"",\n5"" wide"', 240],
    ] as const) {
      const { status, text } = await api.get(`${path}/${question}`, { secret: officer, headers: { accept, 'personal-data': 'open' } });
      const times = text.split(said).length - 1;
      expect([question, accept, status, text.includes('sealed:v1')]).toEqual([question, accept, 200, false]);
      expect([question, accept, times]).toEqual([question, accept, expected]);
    }
    // Half a second; it was half a minute where each quote had all that went before it counted again.
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('are refused about nobody, in the form of what is sealed, and with more than subject and value', async () => {
    const nobody = '0198c0de-0000-7000-8000-000000000003';
    expect(await api.post(`${book}/journal-entries`, sale(nobody))).toMatchObject({ status: 422, body: { code: 'party_unknown' } });
    const party = await opened();
    const { name } = (await api.get(`${book}/parties/${party}`, { headers: { 'personal-data': 'sealed' } })).body;
    for (const more of [{ description: `as ${name}` }, { metadata: { copied: name } }])
      expect(await api.post(`${book}/journal-entries`, sale(party, more))).toMatchObject({ status: 400, body: { code: 'text_invalid' } });
    expect(await api.post(`${book}/journal-entries`, sale(party, { description: { subject: party, value: 'x', more: 1 } }))).toMatchObject({
      status: 400,
      body: { code: 'unknown_member', member: 'description.more' },
    });
    expect(await api.post(`${book}/journal-entries`, sale(party, { description: { subject: 'Jane', value: 'x' } }))).toMatchObject({
      status: 400,
      body: { member: 'description.subject' },
    });
  });

  it('are refused where they are nearly such a text, or stand where nothing is sealed, since they would stay as they are', async () => {
    const subject = await opened();
    const nearly = [
      [{ subject: 'C-1042', value: 'Jane' }, 'subject'],
      [{ subject, value: 'Jane', lang: 'de' }, 'lang'],
      [{ subject, value: 17 }, 'value'],
      [{ subject, value: { name: 'Jane' } }, 'value'],
    ] as const;
    for (const [mark, member] of nearly)
      for (const [path, body] of [
        ['journal-entries', sale(subject, { metadata: { people: [mark] } })],
        ['journal-drafts', sale(subject, { metadata: { people: [mark] } })],
        ['journal-entries/batch', { atomic: true, entries: [sale(subject), sale(subject, { metadata: { people: [mark] } })] }],
      ] as const)
        expect([member, path, await api.post(`${book}/${path}`, body)]).toMatchObject([
          member,
          path,
          { status: 400, body: { code: 'malformed', member: expect.stringMatching(`metadata.people.0.${member}$`) } },
        ]);
    const account = { code: 'Jane', name: 'x', type: 'asset', metadata: { contact: { subject, value: 'Jane' } } };
    const books = {
      id: 'jane',
      name: 'x',
      baseCurrency: 'EUR',
      fiscalYearStart: '01-01',
      metadata: { contact: { subject, value: 'Jane' } },
    };
    for (const [path, body] of [
      [`${book}/accounts`, account],
      ['/v1/books', books],
    ] as const)
      expect(await api.post(path, body)).toMatchObject({ status: 400, body: { code: 'malformed', member: 'metadata.contact' } });
    await created(api.post(`${book}/journal-entries`, sale(subject, { metadata: { subject: 'Invoice 42', prices: { value: 17 } } })));
  });

  it('under long names are refused, or found like others: the parties of the book go on', async () => {
    const subject = await opened();
    const named = (length: number) => sale(subject, { metadata: { [`${'Ä'.repeat(length)}`]: { subject, value: 'Jane Roe' } } });
    expect(await api.post(`${book}/journal-entries`, named(3_900))).toMatchObject({
      status: 400,
      body: { code: 'too_large', limit: 500 },
    });
    await created(api.post(`${book}/journal-entries`, named(490)));
    expect((await api.get(`${book}/parties/${subject}/report`, { secret: officer })).text).toContain('Jane Roe');
  });

  it('count for what a key stands for, though none of them is kept', async () => {
    const party = await opened();
    const first = await created(api.post(`${book}/journal-entries`, sale(party), { key: 'once' }));
    const again = await api.post(`${book}/journal-entries`, sale(party), { key: 'once' });
    expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([201, first.text, 'true']);
    const other = sale(party, { description: { subject: party, value: 'Sale to John Roe' } });
    expect(await api.post(`${book}/journal-entries`, other, { key: 'once' })).toMatchObject({
      status: 409,
      body: { members: ['description'] },
    });
    const batch = (atomic: boolean, description: string) => ({
      atomic,
      entries: [sale(party), sale(party, { description: { subject: party, value: description } })],
    });
    for (const atomic of [true, false]) {
      const key = `batch-${atomic}`;
      const one = await api.post(`${book}/journal-entries/batch`, batch(atomic, 'Jane again'), { key });
      expect(one.body.results.map(({ number }: { number?: number }) => typeof number)).toEqual(['number', 'number']);
      expect((await api.post(`${book}/journal-entries/batch`, batch(atomic, 'Jane again'), { key })).text).toBe(one.text);
      const changed = await api.post(`${book}/journal-entries/batch`, batch(atomic, 'Jane no more'), { key });
      expect([changed.status, changed.body.members]).toEqual([409, [atomic ? 'entries.1' : 'entries.1.description']]);
    }
  });

  it('go with drafts, corrections and reversals', async () => {
    const party = await opened();
    const draft = await created(api.post(`${book}/journal-drafts`, sale(party)));
    await api.post(`${book}/journal-drafts/${draft.body.id}/submit`, {});
    const approved = await created(api.post(`${book}/journal-drafts/${draft.body.id}/approve`, {}, { secret: clerk }));
    const shown = async (id: string): Promise<string> => (await api.get(`${book}/journal-entries/${id}`, open())).body.description;
    expect(await shown(approved.body.id)).toContain('Jane Roe');
    const correction = { ...(sale(party) as { lines: object }), description: { subject: party, value: 'To Jane Roe, corrected' } };
    const { effectiveDate: _date, ...body } = correction as Record<string, unknown>;
    const corrected = await created(api.post(`${book}/journal-entries/${approved.body.id}/correct`, { ...body, reason: 'text' }));
    expect(await shown(corrected.body.id)).toBe('To Jane Roe, corrected');
    expect(await shown(corrected.body.reversal.id)).toMatch(/^Reversal of GENERAL\/2026\/\d+: Sale to Jane Roe/);
    const reversed = await created(
      api.post(`${book}/journal-entries/${corrected.body.id}/reverse`, {
        reason: 'x',
        description: { subject: party, value: 'Sorry, Jane' },
      }),
    );
    expect(await shown(reversed.body.id)).toBe('Sorry, Jane');
  });

  it('that were opened for somebody are told by the log of user actions', async () => {
    const party = await opened();
    const { id } = (await created(api.post(`${book}/journal-entries`, sale(party)))).body;
    await api.get(`${book}/journal-entries/${id}`, open());
    await api.get(`${book}/reports/journal?from=2026-01-01&to=2026-12-31`, {
      secret: officer,
      headers: { accept: 'text/csv', 'personal-data': 'open' },
    });
    type Acted = { action: string; outcome: string; opened?: object };
    const listed = async (): Promise<Acted[]> => (await api.get(`${book}/actions?limit=20`)).body.actions;
    const ended = ({ action, outcome }: Acted): boolean => action === 'journal' && outcome === 'done';
    // How a stream ended is recorded after it has.
    for (let tries = 0; tries < 200 && !(await listed()).some(ended); tries++) await new Promise((resolve) => setTimeout(resolve, 20));
    const actions = await listed();
    expect(actions.find(({ action }) => action === 'journal-entries')?.opened).toEqual({ texts: 3, parties: [party], of: 1 });
    expect(actions.find(ended)?.opened).toMatchObject({
      parties: expect.arrayContaining([party]),
    });
    expect(JSON.stringify(actions)).not.toContain('Jane');
  });
});

describe('everything about a person', () => {
  it('is every place that speaks of them, opened, with the duty that covers it, as JSON and as CSV', async () => {
    const party = await opened();
    const { id } = (
      await created(api.post(`${book}/journal-entries`, sale(party, { document: { type: 'invoice', number: '1', date: '2026-03-01' } })))
    ).body;
    await api.post(`${book}/parties/${party}/change`, { reference: 'C-2000', reason: 'merged' });
    await api.post(`${book}/parties/${party}/holds`, { hold: 'case 7', reason: 'law suit' }, { secret: officer });
    const report = await api.get(`${book}/parties/${party}/report`, { secret: officer });
    expect(report.body.party).toMatchObject({ ...jane, reference: 'C-2000' });
    const own = [
      ['PartyOpened', 'kind', 'customer'],
      ['PartyOpened', 'country', 'DE'],
      ['PartyOpened', 'reference', 'C-1042'],
      ['PartyOpened', 'status', 'open'],
      ['PartyOpened', 'pseudonym', expect.stringMatching(/^P-/)],
      ['PartyChanged', 'reference', 'C-2000'],
      ['LegalHoldPlaced', 'hold', 'case 7'],
    ];
    const rule = { keptUntil: '2034-12-31', rule: expect.stringContaining('AO § 147') };
    expect(report.body.places).toEqual([
      ...own.map(([eventType, path, text]) => expect.objectContaining({ eventType, path, text, aggregateId: party })),
      ...(['address', 'email', 'name', 'note'] as const).map((member) =>
        expect.objectContaining({ path: member, text: jane[member], eventType: 'PartyOpened' }),
      ),
      expect.objectContaining({ path: 'description', text: 'Sale to Jane Roe, "second" floor', aggregateId: id, ...rule }),
      expect.objectContaining({
        path: 'lines.0.party',
        line: { account: 'Receivables', side: 'debit', amount: '10.00', currency: 'EUR' },
        ...rule,
      }),
      expect.objectContaining({ path: 'lines.1.description', text: 'for Jane Roe', number: expect.stringMatching(/^GENERAL\/2026\//) }),
      expect.objectContaining({ path: 'metadata.contact', text: 'Jane Roe at the desk' }),
    ]);
    const csv = await api.get(`${book}/parties/${party}/report?format=csv`, { secret: officer });
    expect(csv.text.split('\r\n')[0]).toMatch(/^position,recordedAt,event,/);
    expect(csv.text).toContain('"prefers, ""post"" calls"');
    for (const [eventType, path, text] of own)
      if (typeof text === 'string') expect(csv.text).toContain(`,${eventType},${party},${path},,,${text},`);
    // How a stream ended is recorded after it has.
    const ended = async (): Promise<object | undefined> =>
      (await api.get(`${book}/actions?action=report&outcome=done&about=${party}&limit=2`)).body.actions[1];
    for (let tries = 0; tries < 200 && (await ended()) === undefined; tries++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await ended()).toMatchObject({ outcome: 'done', opened: { parties: [party], of: 1 } });
  });
});

describe('an erasure', () => {
  it('destroys what no duty covers, leaves the rest with its rule and end, and can be repeated', async () => {
    const party = await opened();
    await created(api.post(`${book}/journal-entries`, sale(party)));
    const preview = (await api.get(`${book}/parties/${party}/erasure`)).body;
    const kept = ['entries-2026', 'identity'].map((scope) => ({ scope, until: '2036-12-31', rule: expect.stringContaining('HGB § 257') }));
    expect(preview).toMatchObject({ erased: ['contact'], retained: kept, holds: [] });
    const answer = await erase(party, `erase-${party}`);
    expect(answer).toMatchObject({ status: 200, body: { id: party, erased: [{ scope: 'contact' }], retained: kept } });
    expect((await erase(party, `erase-${party}`)).text).toBe(answer.text);
    const shown = (await api.get(`${book}/parties/${party}`, open())).body;
    expect(shown).toMatchObject({
      name: 'Jane Roe',
      email: '[erased]',
      note: '[erased]',
      erasure: { destroyed: ['contact'], retained: kept },
    });
    expect(await erase(party)).toMatchObject({ status: 422, body: { code: 'nothing_to_erase' } });
    expect(await api.post(`${book}/parties/${party}/change`, { name: 'J' })).toMatchObject({
      status: 422,
      body: { code: 'person_erased' },
    });
    expect(await api.post(`${book}/journal-entries`, sale(party))).toMatchObject({ status: 422, body: { code: 'person_erased' } });
    // Payments for what is open can still be posted.
    const payment = sale(party, { description: 'payment', metadata: undefined });
    const plain = { ...payment, lines: (payment as { lines: object[] }).lines.map((line) => ({ ...line, description: undefined })) };
    expect((await api.post(`${book}/journal-entries`, plain)).status).toBe(201);
  });

  it('of a person whom nothing posted names leaves nothing, and every proof, number and balance as they were', async () => {
    const party = await opened({ name: 'Erased Person' });
    const draft = await created(api.post(`${book}/journal-drafts`, sale(party)));
    await api.post(`${book}/journal-drafts/${draft.body.id}/discard`, {});
    const { position } = (await api.get(`${book}/parties/${party}`)).body;
    const proof = (await api.get(`${book}/proofs/inclusion?position=${position}`)).body;
    const balances = (await api.get(`${book}/balances?knownAt=${position}`)).text;
    const { events } = (await api.get(`${book}/events?after=${position - 1}&limit=1`)).body;
    expect((await erase(party)).body).toMatchObject({
      erased: [{ scope: 'contact' }, { scope: 'entries-2026' }, { scope: 'identity' }],
      retained: [],
    });
    const shown = (await api.get(`${book}/parties/${party}`, open())).body;
    expect(shown).toMatchObject({ name: '[erased]', address: '[erased]', email: '[erased]' });
    expect(shown.pseudonym).toBeUndefined();
    expect((await api.get(`${book}/proofs/inclusion?position=${position}&size=${proof.size}`)).body).toEqual(proof);
    const [leaf, root] = [proof.leafHash, proof.root].map((text: string) => Buffer.from(text, 'base64')) as [Buffer, Buffer];
    const hashes = proof.hashes.map((text: string) => Buffer.from(text, 'base64'));
    expect(verifyInclusion({ index: position - 1, size: proof.size, leaf, root }, hashes)).toBe(true);
    expect((await api.get(`${book}/balances?knownAt=${position}`)).text).toBe(balances);
    expect((await api.get(`${book}/events?after=${position - 1}&limit=1`)).body.events).toEqual(events);
    const report = await api.get(`${book}/parties/${party}/report`, { secret: officer });
    expect(report.body.places.map(({ text }: { text: string }) => text).filter((text: string | undefined) => text !== undefined)).toEqual([
      ...['customer', 'DE', 'C-1042', 'open', 'GDPR Art. 17(1)(a)', 'contact, entries-2026, identity'],
      ...Array(4 + 3).fill('[erased]'),
    ]);
    // The key said something of a person who is no more: it cannot be compared.
    expect(await api.post(`${book}/parties`, { ...jane, name: 'Erased Person' }, { key: 'no such' })).toMatchObject({ status: 201 });
  });

  it('follows the rules that the book states', async () => {
    const party = await opened();
    await created(api.post(`${book}/journal-entries`, sale(party, { document: { type: 'quote', number: '1', date: '2026-03-01' } })));
    const rule = { country: 'DE', documentType: 'quote', years: 0, source: 'no duty over quotes' };
    expect(await api.post(`${book}/retention-rules`, rule, { secret: clerk })).toMatchObject({ status: 403 });
    // Shorter than the built-in ten years: what it no longer covers is erased, so whoever may close the books says so too.
    expect(await api.post(`${book}/retention-rules`, rule, { secret: officer })).toMatchObject({
      status: 403,
      body: { code: 'forbidden' },
    });
    const { secret } = await api.keys.create('chief', ['personal', 'controller']);
    await created(api.post(`${book}/retention-rules`, rule, { secret }));
    const rules = (await api.get(`${book}/retention-rules`)).body;
    expect(rules.own).toEqual([rule]);
    expect(rules.builtIn.length).toBeGreaterThan(10);
    // The year itself is not over.
    expect((await api.get(`${book}/parties/${party}/erasure`)).body.retained).toEqual(
      ['entries-2026', 'identity'].map((scope) => ({ scope, until: '2026-12-31', rule: 'DE quote, 0 years (no duty over quotes)' })),
    );
  });

  it('is finished on schedule when duties end, and takes texts of others with it whose year is over', async () => {
    const [forgotten, other] = [await opened({ name: 'Late One' }), await opened({ name: 'Other One' })];
    for (const party of [forgotten, other]) await created(api.post(`${book}/journal-entries`, sale(party)));
    await erase(forgotten);
    const persons = api.service.persons as unknown as { options: { clock?: () => number } };
    now = Date.parse('2036-12-31T12:00:00Z');
    persons.options.clock = () => now;
    try {
      await api.service.persons.look();
      expect((await api.get(`${book}/parties/${forgotten}`, open())).body.name).toBe('Late One');
      now = Date.parse('2037-01-01T12:00:00Z');
      await api.service.persons.look();
      await api.service.persons.look();
    } finally {
      delete persons.options.clock;
    }
    expect((await api.get(`${book}/parties/${forgotten}`, open())).body).toMatchObject({ name: '[erased]', erasure: { retained: [] } });
    const shown = (await api.get(`${book}/parties/${other}`, open())).body;
    expect(shown).toMatchObject({ name: 'Other One', email: jane.email, status: 'open' });
    expect(shown.erasure).toBeUndefined();
    const { places } = (await api.get(`${book}/parties/${other}/report`, { secret: officer })).body;
    expect(places.find(({ path }: { path: string }) => path === 'description').text).toBe('[erased]');
  });

  it('is verified like everything else', async () => {
    await api.get(`${book}/parties`); // waits for the projection
    const { books } = await api.service.verify({ books: ['persons'] });
    expect(books.flatMap(({ findings }) => findings.map(({ message }) => message))).toEqual([]);
  });
});
