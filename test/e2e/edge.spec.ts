/** The rules of the edge: what is refused before a command reaches the ledger, and in which order. */
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { type Api, bootstrapSecret, created, entry, openBook, startApi } from './api';

let api: Api;
let book: string;

beforeAll(async () => {
  api = await startApi({ LINES_PER_ENTRY: '4', ENTRIES_PER_BATCH: '3', ENTRY_BYTES: '16384', BATCH_BYTES: '32768' });
  book = await openBook(api, 'edge');
});
afterAll(() => api.close());

const lines = (more: object): object =>
  entry('1.00', { lines: [{ account: 'Assets:Cash', side: 'debit', amount: '1.00', currency: 'EUR', ...more }] });
const post = (body: object | string | Buffer) => api.post(`${book}/journal-entries`, body);

describe('bodies', () => {
  it.each<[string, object | string | Buffer, string, string | undefined]>([
    ['no JSON', '{"effectiveDate":', 'malformed', undefined],
    ['no object', '[1]', 'malformed', undefined],
    ['invalid UTF-8', Buffer.from('{"description":"\xff"}', 'latin1'), 'malformed', undefined],
    ['a member twice', JSON.stringify(entry()).replace('"side":"debit"', '"side":"debit","side":"credit"'), 'malformed', 'lines.0.side'],
    ['__proto__', `{"__proto__":{"a":1},${JSON.stringify(entry()).slice(1)}`, 'malformed', '__proto__'],
    ['a missing member', { description: 'x', lines: [] }, 'malformed', 'effectiveDate'],
    ['null', entry('1', { reference: null }), 'malformed', 'reference'],
    ['another type', entry('1', { description: 5 }), 'malformed', 'description'],
    ['a blank text', entry('1', { description: ' \n' }), 'malformed', 'description'],
    ['a value of no meaning', lines({ side: 'left' }), 'malformed', 'lines.0.side'],
    ['an object for a list', entry('1', { lines: {} }), 'malformed', 'lines'],
    ['a text for an object', entry('1', { document: 'invoice' }), 'malformed', 'document'],
    ['a list for an object', entry('1', { document: [{ type: 'invoice', number: '1', date: '2026-01-01' }] }), 'malformed', 'document'],
    ['a list in a list', entry('1', { lines: [[{}]] }), 'malformed', 'lines.0'],
    ['null in a list', entry('1', { lines: [null] }), 'malformed', 'lines.0'],
    ['a fraction in metadata', entry('1', { metadata: { a: { b: 1.5 } } }), 'malformed', 'metadata.a.b'],
    [
      'a number above 2^53 in metadata',
      JSON.stringify(entry('1', { metadata: { a: [0] } })).replace('[0]', '[9007199254740993]'),
      'malformed',
      'metadata.a.0',
    ],
    [
      'a number in metadata that would be rounded to a whole one',
      JSON.stringify(entry('1', { metadata: { a: { b: 0 } } })).replace('"b":0', '"b":9007199254740990.6'),
      'malformed',
      'metadata.a.b',
    ],
    [
      'a number in metadata beyond all numbers',
      JSON.stringify(entry('1', { metadata: { a: [0] } })).replace('[0]', '[1e400]'),
      'malformed',
      'metadata.a.0',
    ],
    ['null in metadata', entry('1', { metadata: { a: [null] } }), 'malformed', 'metadata.a.0'],
    ['an unknown member', entry('1', { amout: '1' }), 'unknown_member', 'amout'],
    [
      'an unknown member deep down',
      lines({ tax: [{ code: 'A', base: '1', amount: '1', rate: '19' }] }),
      'unknown_member',
      'lines.0.tax.0.rate',
    ],
    ['constructor', lines({ constructor: { name: 'x' } }), 'unknown_member', 'lines.0.constructor'],
    ['hasOwnProperty', entry('1', { hasOwnProperty: 1 }), 'unknown_member', 'hasOwnProperty'],
    ['type, which commands have and bodies do not', entry('1', { type: 'PostEntry' }), 'unknown_member', 'type'],
    ['an amount as a number', lines({ amount: 1.1 }), 'amount_not_string', 'lines.0.amount'],
    ['a rate as a number', lines({ rate: { value: 2, date: '2026-01-01', source: 'ECB' } }), 'amount_not_string', 'lines.0.rate.value'],
    ['a sign', lines({ amount: '-1' }), 'amount_format', 'lines.0.amount'],
    ['an exponent', lines({ amount: '1e3' }), 'amount_format', 'lines.0.amount'],
    ['a leading zero', lines({ amount: '01' }), 'amount_format', 'lines.0.amount'],
    ['a blank in an amount', lines({ amount: '1 000' }), 'amount_format', 'lines.0.amount'],
    [
      'a quantity of a thousand digits',
      lines({ quantity: { value: '9'.repeat(1_000), unit: 'kg' } }),
      'amount_format',
      'lines.0.quantity.value',
    ],
    ['a day that does not exist', entry('1', { effectiveDate: '2026-02-29' }), 'date_invalid', 'effectiveDate'],
    ['a date of another form', entry('1', { effectiveDate: '2026-1-1' }), 'date_invalid', 'effectiveDate'],
    ['a year out of range', lines({ dueDate: '2200-01-01' }), 'date_invalid', 'lines.0.dueDate'],
    [
      'an instant of another form',
      entry('1', { source: { system: 'a', id: 'b', original: { enteredAt: '2026-01-01' } } }),
      'date_invalid',
      'source.original.enteredAt',
    ],
    ['U+0000', entry('1', { description: 'a\0b' }), 'text_invalid', 'description'],
    ['half a surrogate pair', entry('1', { metadata: { note: '\ud800' } }), 'text_invalid', 'metadata.note'],
    ['U+0000 in a name of metadata', entry('1', { metadata: { 'a\0': 'x' } }), 'text_invalid', 'metadata.a␀'],
    ['a control character in a line of text', entry('1', { reference: 'a\tb' }), 'text_invalid', 'reference'],
    ['a blank at the end of a code', lines({ account: 'Assets:Cash ' }), 'text_invalid', 'lines.0.account'],
    ['a zero width space in a code', lines({ account: 'Assets:Ca\u200bsh' }), 'text_invalid', 'lines.0.account'],
    ['a no-break space in a code', lines({ account: 'Assets:Petty\u00a0Cash' }), 'text_invalid', 'lines.0.account'],
    ['a right-to-left override in a reference', entry('1', { reference: 'INV\u202e42' }), 'text_invalid', 'reference'],
    ['a right-to-left override in a description', entry('1', { description: 'paid\u202e42' }), 'text_invalid', 'description'],
    ['a blank before a reference', entry('1', { reference: ' INV-42' }), 'text_invalid', 'reference'],
    ['a currency of another form', lines({ currency: 'EU R' }), 'text_invalid', 'lines.0.currency'],
    ['a link to no UUID', entry('1', { links: [{ rel: 'settles', entryId: 'x' }] }), 'text_invalid', 'links.0.entryId'],
    ['a text too long', entry('1', { reference: 'x'.repeat(201) }), 'too_large', 'reference'],
    ['a code too long', lines({ account: 'ä'.repeat(121) }), 'too_large', 'lines.0.account'],
    [
      'metadata too deep',
      entry('1', { metadata: [1, 2, 3, 4, 5, 6, 7, 8].reduce<object>((inner) => ({ a: inner }), {}) }),
      'too_large',
      'metadata.a.a.a.a.a.a.a.a',
    ],
    ['metadata too big', entry('1', { metadata: { a: 'x'.repeat(8_192) } }), 'too_large', 'metadata'],
    [
      'too many lines',
      entry('1', { lines: Array(5).fill({ account: 'a', side: 'debit', amount: '1', currency: 'EUR' }) }),
      'too_large',
      'lines',
    ],
    ['too many levels', `{"metadata":${'{"a":'.repeat(40)}1${'}'.repeat(40)}}`, 'too_large', undefined],
    ['too many bytes', entry('1', { description: 'x'.repeat(16_400) }), 'too_large', undefined],
  ])('refuses %s', async (_what, body, code, member) => {
    const reply = await post(body);
    expect([reply.status, reply.body.code, reply.body.member]).toEqual([400, code, member]);
    expect(reply.headers['content-type']).toContain('application/problem+json');
    expect(reply.body).toMatchObject({ type: `urn:book-keeper:error:${code}`, status: 400, detail: expect.any(String) });
  });

  it('tells of several faults the one that the error table names first, wherever it is', async () => {
    const faults: [string, object][] = [
      ['malformed', { journalCode: 7 }],
      ['unknown_member', { zzz: 1 }],
      ['amount_not_string', { lines: [{ account: 'a', side: 'debit', amount: 5, currency: 'EUR' }] }],
      ['amount_format', { lines: [{ account: 'a', side: 'debit', amount: '5,0', currency: 'EUR' }] }],
      ['date_invalid', { effectiveDate: '2026-13-01' }],
      ['text_invalid', { reference: 'a\0' }],
      ['too_large', { reason: 'x'.repeat(501) }],
    ];
    for (let first = 0; first < faults.length; first++) {
      const body = faults
        .slice(first)
        .reverse()
        .reduce((sum, [, fault]) => Object.assign(sum, fault), entry());
      expect((await api.post(`${book}/journal-entries`, body, { key: null })).body.code).toBe(faults[first]?.[0]);
    }
    expect((await api.post(`${book}/journal-entries`, entry(), { key: null })).body.code).toBe('key_missing');
    expect((await api.post(`${book}/journal-entries`, '{', { secret: 'bk_nobody', key: null })).body.code).toBe('unauthenticated');
  });

  it('names several faults of one code by the first in the body', async () => {
    const reply = await post(
      entry('x', {
        lines: [
          { account: 'a', side: 'debit', amount: 'x', currency: 'EUR' },
          { account: 'a', side: 'debit', amount: 'y', currency: 'EUR' },
        ],
      }),
    );
    expect(reply.body.member).toBe('lines.0.amount');
  });

  it('refuses another content type, and a body without one', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
      const reply = await api.post(`${book}/journal-entries`, 'a=1', { headers: { 'content-type': type } });
      expect(reply.body).toMatchObject({ status: 400, code: 'malformed', member: 'Content-Type' });
    }
  });

  it('takes JSON with a charset in the content type, and no body where nothing is required', async () => {
    const reply = await api.post(`${book}/journal-entries`, entry(), { headers: { 'content-type': 'application/json; charset=utf-8' } });
    expect(reply.status).toBe(201);
    await created(api.post(`${book}/accounts`, { code: 'Assets:Idle', name: 'Idle', type: 'asset' }));
    expect((await api.post(`${book}/accounts/Assets%3AIdle/freeze`)).body.status).toBe('frozen');
    expect((await api.post(`${book}/accounts/Assets%3AIdle/unfreeze`, '')).body.status).toBe('open');
    const missing = expect.stringMatching(/^(effectiveDate|description|lines)$/);
    expect((await api.post(`${book}/journal-entries`)).body).toMatchObject({ code: 'malformed', member: missing });
  });

  it('takes metadata of any names and safe integers, and returns it whole', async () => {
    const metadata = {
      constructor: 'x',
      toString: [true, { 1: 'a', 0: 'b' }],
      'ä"\\': -9007199254740991,
      deep: { a: { b: { c: { d: { e: { f: [] } } } } } },
    };
    const { body } = await created(post(entry('1', { metadata })));
    expect((await api.get(`${book}/journal-entries/${body.id}`)).body.metadata).toEqual(metadata);
  });

  it('takes text with line ends in descriptions, and characters beyond the basic plane as one', async () => {
    await created(post(entry('1', { description: 'two\nlines\tand a tab', reference: '😀'.repeat(200) })));
    expect((await post(entry('1', { reference: '😀'.repeat(201) }))).body).toMatchObject({ code: 'too_large', limit: 200 });
  });
});

describe('batches', () => {
  const batch = (...entries: object[]) => api.post(`${book}/journal-entries/batch`, { atomic: false, entries });

  it('names the entry that is not valid', async () => {
    expect((await batch(entry(), entry('1,0'))).body).toMatchObject({ code: 'amount_format', member: 'entries.1.lines.0.amount' });
    expect((await api.post(`${book}/journal-entries/batch`, { entries: [] })).body).toMatchObject({ code: 'malformed', member: 'atomic' });
  });

  it('keeps the limits of the batch and of each entry', async () => {
    expect((await batch(entry(), entry(), entry(), entry())).body).toMatchObject({ code: 'too_large', member: 'entries', limit: 3 });
    const long = entry('1', { lines: Array(5).fill({ account: 'a', side: 'debit', amount: '1', currency: 'EUR' }) });
    expect((await batch(entry(), long)).body).toMatchObject({ code: 'too_large', member: 'entries.1.lines', limit: 4 });
    // Each part is within its limit, the entry is not.
    const line = {
      account: 'a',
      side: 'debit',
      amount: '1',
      currency: 'EUR',
      description: '€'.repeat(1_000),
      dimensions: [{ key: 'k', value: '€'.repeat(200) }],
    };
    const big = entry('1', { lines: [line, line, line, line], metadata: { a: 'x'.repeat(8_000) } });
    expect((await batch(entry(), big)).body).toMatchObject({ code: 'too_large', member: 'entries.1', limit: 16_384 });
    expect((await batch(big, big)).body).toMatchObject({ code: 'too_large', limit: 32_768 });
  });
});

describe('account codes', () => {
  it('are one code in all Unicode forms, in bodies and in paths', async () => {
    const composed = 'Kasse:München';
    const decomposed = composed.normalize('NFD');
    expect(decomposed).not.toBe(composed);
    const { headers, body } = await created(api.post(`${book}/accounts`, { code: decomposed, name: 'Kasse', type: 'asset' }));
    expect(body.code).toBe(composed);
    expect(headers.location).toBe(`${book}/accounts/${encodeURIComponent(composed)}`);
    await created(post(entry('5.00', {}, [decomposed, 'Income:Sales'])));
    for (const code of [composed, decomposed]) {
      expect((await api.get(`${book}/accounts/${encodeURIComponent(code)}/balance`)).body).toMatchObject({
        account: composed,
        balances: [{ balance: '5.00' }],
      });
      expect((await api.post(`${book}/accounts/${encodeURIComponent(code)}/rename`, { name: code })).status).toBe(200);
      expect((await api.get(`${book}/journal-entries?account=${encodeURIComponent(code)}`)).body.entries).toHaveLength(1);
    }
  });

  it('may be 120 characters of any script, with slashes', async () => {
    const code = `${'漢/'.repeat(59)}${'𠮷'.repeat(2)}`;
    expect([...code]).toHaveLength(120);
    const { headers } = await created(api.post(`${book}/accounts`, { code, name: 'long', type: 'asset' }));
    expect((await api.get(String(headers.location))).body.code).toBe(code);
    expect((await api.post(`${book}/accounts`, { code: `${code}x`, name: 'long', type: 'asset' })).body.code).toBe('too_large');
  });
});

describe('paths, queries and headers', () => {
  it('refuses U+0000 in a path or query as text, not as a fault of ours', async () => {
    for (const path of ['/accounts/a%00b', '/accounts/a%00b/balance', '/accounts/a%00b/statement']) {
      expect((await api.get(book + path)).body).toMatchObject({ status: 400, code: 'text_invalid' });
    }
    expect((await api.post(`${book}/accounts/a%00/freeze`)).body).toMatchObject({ status: 400, code: 'text_invalid' });
    expect((await api.get(`${book}/journal-entries?reference=a%00`)).body).toMatchObject({ code: 'text_invalid', member: 'reference' });
  });

  it.each([
    ['/v1/books/Not%20an%20id', 'book_unknown'],
    ['/v1/books/~system/events', 'book_unknown'],
    ['/v1/books/%00', 'text_invalid'],
    ['/v1/books/edge/journal-entries/17', 'entry_unknown'],
    ['/v1/books/edge/streams/Journal/17', 'stream_unknown'],
    ['/v1/books/edge/accounts/%ff', 'malformed'],
    ['/v1/books/edge/nothing', 'route_unknown'],
    ['/v1/books/edge/accounts//balance', 'route_unknown'],
    ['/v1/books/edge/balances?asof=2026-01-01', 'unknown_member'],
    ['/v1/books/edge/balances?constructor=1', 'unknown_member'],
    ['/v1/books/edge/balances?asOf=2026-02-30', 'date_invalid'],
    ['/v1/books/edge/balances?asOf=2026-01-01&asOf=2026-01-02', 'malformed'],
    ['/v1/books/edge/balances?knownAt=yesterday', 'date_invalid'],
    ['/v1/books/edge/balances?knownAt=2100-01-01T00:00:00Z', 'date_invalid'],
    ['/v1/books/edge/accounts/Assets%3ACash/balance?knownAt=9007199254740993', 'date_invalid'],
    ['/v1/books/edge/accounts/Assets%3ACash/balance?knownAt=9999999999999999', 'date_invalid'],
    ['/v1/books/edge/balances?knownAt=9007199254740993', 'date_invalid'],
    ['/v1/books/edge/balances?limit=0', 'malformed'],
    ['/v1/books/edge/balances?limit=1001', 'malformed'],
    ['/v1/books/edge/balances?limit=1e2', 'malformed'],
    ['/v1/books/edge/balances?cursor=abc', 'malformed'],
    ['/v1/books/edge/balances?includeZero=yes', 'malformed'],
    ['/v1/books/edge/journal-entries?number=1', 'malformed'],
    ['/v1/books/edge/events?after=-1', 'malformed'],
  ])('answers %s with %s', async (path, code) => {
    expect((await api.get(path)).body.code).toBe(code);
  });

  it('answers an unknown method or path with route_unknown, to those who may ask', async () => {
    expect((await api.send('DELETE', book, undefined, {})).body).toMatchObject({ status: 404, code: 'route_unknown' });
    expect((await api.get('/')).body).toMatchObject({ status: 404, code: 'route_unknown' });
    expect((await api.get('/', { secret: null })).status).toBe(401);
  });

  it('refuses two idempotency keys, which Node.js would hand over as one', async () => {
    await api.app.listen(0, '127.0.0.1');
    const { port } = api.app.getHttpServer().address() as AddressInfo;
    const send = (keys: string | string[]): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${bootstrapSecret}`, 'content-type': 'application/json', 'idempotency-key': keys };
        const sent = request({ port, method: 'POST', path: `${book}/journal-entries`, headers }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        sent.on('error', reject).end(JSON.stringify(entry()));
      });
    expect(await send(['one', 'two'])).toBe(400);
    expect(await send('one, two')).toBe(201);
  });

  it('refuses a compressed body by name', async () => {
    const headers = { 'content-encoding': 'gzip' };
    const body = gzipSync(JSON.stringify(entry()));
    expect((await api.post(`${book}/journal-entries`, body, { headers })).body).toMatchObject({
      status: 400,
      code: 'malformed',
      detail: expect.stringContaining('Content-Encoding: gzip'),
    });
  });

  it('refuses an idempotency key that is none', async () => {
    for (const key of ['', 'ä', 'x'.repeat(256)]) {
      expect((await api.post(`${book}/journal-entries`, entry(), { key })).body).toMatchObject({ status: 400, code: 'key_missing' });
    }
    await created(api.post(`${book}/journal-entries`, entry(), { key: `~ !${'x'.repeat(252)}` }));
  });

  it('refuses headers that no event could carry, after what is wrong with the body', async () => {
    for (const name of ['On-Behalf-Of', 'X-Correlation-Id']) {
      const headers = { [name]: 'a\u00e4' };
      expect((await api.post(`${book}/journal-entries`, entry(), { headers })).body).toMatchObject({ code: 'text_invalid', member: name });
      expect((await api.post(`${book}/journal-entries`, entry('x'), { headers })).body.code).toBe('amount_format');
      expect((await api.post(`${book}/journal-entries`, entry('1', { reason: 'x'.repeat(501) }), { headers })).body.code).toBe(
        'text_invalid',
      );
    }
  });
});
