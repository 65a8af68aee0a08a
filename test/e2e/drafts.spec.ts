/** Drafts over HTTP: what each operation answers and the log then holds, lists and pages, and who may do what. */
import { type Api, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;
/** Secrets of two keys without scopes. */
let clerk: string;
let second: string;

beforeAll(async () => {
  api = await startApi({ LINES_PER_ENTRY: '10' });
  book = await openBook(api, 'drafts');
  clerk = (await api.keys.create('clerk')).secret;
  second = (await api.keys.create('second')).secret;
});
afterAll(() => api.close());

const recorded = { position: expect.any(Number), recordedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) };
const uuid = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
const drafts = (): string => `${book}/journal-drafts`;
const at = (id: string, what = ''): string => `${drafts()}/${id}${what}`;

async function draft(body: object = entry(), secret = clerk): Promise<string> {
  return (await created(api.post(drafts(), body, { secret }))).body.id;
}
async function ok(sent: Promise<Reply>): Promise<Reply> {
  const reply = await sent;
  if (reply.status !== 200) throw new Error(`${reply.status}: ${reply.text}`);
  return reply;
}

describe('a draft', () => {
  it('is saved, rewritten, submitted, given back, and approved by somebody else, which posts it', async () => {
    const saved = await created(api.post(drafts(), { ...entry('100', { reference: 'INV-1' }), reason: 'by mail' }, { secret: clerk }));
    const { id } = saved.body;
    expect(saved.body).toEqual({ id: uuid, status: 'draft', ...recorded });
    expect(saved.headers.location).toBe(at(id));
    expect((await ok(api.get(at(id)))).body).toEqual({
      ...entry('100', { reference: 'INV-1' }),
      ...{ id, status: 'draft', fiscalYear: '2026', period: 3, createdBy: expect.any(String) },
      ...recorded,
    });
    expect((await ok(api.post(at(id, '/revise'), entry('120.50'), { secret: second }))).body).toEqual({ id, status: 'draft', ...recorded });
    expect((await ok(api.post(at(id, '/submit'), {}, { secret: clerk }))).body).toEqual({ id, status: 'submitted', ...recorded });
    expect((await api.post(at(id, '/approve'), {}, { secret: clerk })).body).toMatchObject({ code: 'second_user_required', entry: id });
    expect((await ok(api.post(at(id, '/reject'), { reason: 'which?' }, { secret: second }))).body).toMatchObject({ id, status: 'draft' });
    await ok(api.post(at(id, '/submit'), undefined, { secret: clerk }));
    expect((await api.get(`${book}/journal-entries/${id}`)).body.code).toBe('entry_unknown');

    const sent = { key: 'approve', secret: second };
    const approved = await created(api.post(at(id, '/approve'), { reason: 'seen' }, sent));
    expect(approved.body).toEqual({ id, number: 1, ...recorded });
    expect(approved.headers.location).toBe(`${book}/journal-entries/${id}`);
    const again = await api.post(at(id, '/approve'), { reason: 'seen' }, sent);
    expect([again.text, again.headers['idempotency-replayed']]).toEqual([approved.text, 'true']);

    const posted = (await ok(api.get(`${book}/journal-entries/${id}`))).body;
    expect(posted).toMatchObject({ id, number: 1, lines: [{ amount: '120.50', account: 'Assets:Cash' }, {}] });
    expect((await ok(api.get(at(id)))).body).toMatchObject({ status: 'posted', createdBy: expect.any(String), approvedBy: posted.userId });
    const { events } = (await ok(api.get(`${book}/streams/Journal/${id}`))).body;
    expect(events.map(({ eventType }: { eventType: string }) => eventType)).toEqual([
      ...['JournalCreated', 'JournalRevised', 'JournalSubmitted', 'JournalRejected', 'JournalSubmitted'],
      ...['JournalApproved', 'JournalEntryPosted'],
    ]);
    expect(events[0]).toMatchObject({ metadata: { reason: 'by mail' }, data: { reference: 'INV-1' } });
    expect(events[3]).toMatchObject({ metadata: { reason: 'which?' } });
    await created(api.post(`${book}/journal-entries/${id}/reverse`, { reason: 'twice', effectiveDate: '2026-03-02' }));
  });

  it('may be of what is not known yet, and says so when it is submitted', async () => {
    const id = await draft(entry('1', {}, ['Assets:Later', 'Income:Sales']));
    const empty = await draft({ effectiveDate: '2026-05-01', description: 'to do', lines: [] });
    expect((await api.post(at(id, '/submit'))).body).toMatchObject({
      status: 422,
      code: 'account_unknown',
      account: 'Assets:Later',
      line: 1,
    });
    expect((await api.post(at(empty, '/submit'))).body.code).toBe('too_few_lines');
    await created(api.post(`${book}/accounts`, { code: 'Assets:Later', name: 'Later', type: 'asset' }));
    await ok(api.post(at(id, '/submit')));
    for (const one of [id, empty]) {
      expect((await ok(api.post(at(one, '/discard'), { reason: 'no more' }))).body).toEqual({ id: one, status: 'discarded', ...recorded });
      expect((await ok(api.get(at(one)))).body.status).toBe('discarded');
      expect((await api.post(at(one, '/submit'))).body).toMatchObject({ code: 'draft_state', entry: one, draftStatus: 'discarded' });
    }
  });

  it('is checked for form like an entry', async () => {
    const refused = async (body: object) => (await api.post(drafts(), body)).body;
    expect(await refused({ ...entry(), description: undefined })).toMatchObject({ status: 400, code: 'malformed', member: 'description' });
    expect(await refused(entry('1', { memo: 'x' }))).toMatchObject({ code: 'unknown_member' });
    expect(await refused(entry('-1'))).toMatchObject({ code: 'amount_format', member: 'lines.0.amount' });
    expect(await refused(entry('1', { entryType: 'reversal' }))).toMatchObject({ code: 'malformed', member: 'entryType' });
    expect(await refused(entry('1', { lines: Array(11).fill((entry() as { lines: object[] }).lines[0]) }))).toMatchObject({
      code: 'too_large',
    });
    expect(await refused(entry('1', { effectiveDate: '2025-12-31' }))).toMatchObject({ status: 422, code: 'before_book_start' });
  });

  it('that does not exist is 404, whatever its id looks like', async () => {
    const posted = (await created(api.post(`${book}/journal-entries`, entry()))).body.id;
    for (const id of ['01930000-0000-7000-8000-000000000000', 'nothing', posted]) {
      for (const reply of [await api.get(at(id)), await api.post(at(id, '/submit')), await api.post(at(id, '/revise'), entry())])
        expect(reply.body).toMatchObject({ status: 404, code: 'entry_unknown', entry: id });
    }
    expect((await api.get('/v1/books/nobody/journal-drafts')).body.code).toBe('book_unknown');
  });
});

describe('the list', () => {
  it('has what is open, by date, in pages that go on where the last one ended', async () => {
    const own = await openBook(api, 'listed');
    const path = `${own}/journal-drafts`;
    expect((await ok(api.get(path))).body).toEqual({ position: expect.any(Number), drafts: [] });
    const ids: string[] = [];
    for (const effectiveDate of ['2026-03-01', '2027-01-01', '2026-01-01', '2026-03-01', '2026-02-01'])
      ids.push((await created(api.post(path, entry('1', { effectiveDate })))).body.id);
    const order = [2, 4, 0, 3, 1].map((index) => ids[index]);
    const found: string[] = [];
    let cursor = '';
    do {
      const page = (await ok(api.get(`${path}?limit=2${cursor && `&cursor=${cursor}`}`))).body;
      found.push(...page.drafts.map(({ id }: { id: string }) => id));
      cursor = page.nextCursor ?? '';
      // What is gone meanwhile is not shown, and nothing is left out for it.
      if (found.length === 2) await ok(api.post(`${path}/${ids[2]}/discard`));
    } while (cursor !== '');
    expect(found).toEqual(order);
    expect((await ok(api.get(path))).body.drafts).toHaveLength(4);
    expect((await api.get(`${path}?limit=0`)).body.code).toBe('malformed');
    expect((await api.get(`${path}?cursor=nonsense`)).body.code).toBe('malformed');
  });
});

describe('a period', () => {
  it('closes when nothing in it waits, and takes drafts of those who may post there', async () => {
    const own = await openBook(api, 'waiting');
    const { id } = (await created(api.post(`${own}/journal-drafts`, entry('1', { effectiveDate: '2026-01-15' })))).body;
    const close = () => api.post(`${own}/periods/2026/1/close`, { level: 'soft' });
    expect((await close()).body).toMatchObject({ status: 422, code: 'period_has_drafts', fiscalYear: '2026', period: 1, entries: [id] });
    await ok(api.post(`${own}/journal-drafts/${id}/discard`));
    await ok(close());
    const late = entry('1', { effectiveDate: '2026-01-16' });
    expect((await api.post(`${own}/journal-drafts`, late, { secret: clerk })).body).toMatchObject({ code: 'period_closed', period: 1 });
    await created(api.post(`${own}/journal-drafts`, late));
    const moved = (await created(api.post(`${own}/journal-drafts`, { ...late, onClosedPeriod: 'first_open_day' }, { secret: clerk }))).body
      .id;
    expect((await ok(api.get(`${own}/journal-drafts/${moved}`))).body).toMatchObject({ effectiveDate: '2026-01-16', period: 2 });
    await ok(api.post(`${own}/journal-drafts/${moved}/submit`, {}, { secret: clerk }));
    await created(api.post(`${own}/journal-drafts/${moved}/approve`, {}, { secret: second }));
    expect((await ok(api.get(`${own}/journal-entries/${moved}`))).body).toMatchObject({
      effectiveDate: '2026-02-01',
      requestedDate: '2026-01-16',
    });
  });
});

test('verify finds nothing in what was done here', async () => {
  const { books } = await api.service.verify();
  expect(books.flatMap(({ findings }) => findings.map(({ message }) => message))).toEqual([]);
});
