/**
 * Golden events: for every version of every event type that ever existed one envelope, with its canonical text and its leaf
 * hash. Signed logs hold events like these, so neither a file nor a hash below ever changes: a new version of a type gets an
 * upcaster and a file of its own, and the old ones must still be read.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import canonicalize from 'canonicalize';
import {
  type AccountEvent,
  type AccountState,
  accountEvents,
  accountReducer,
  type BookEvent,
  type BookState,
  bookEvents,
  bookReducer,
  type JournalEvent,
  type JournalState,
  journalEvents,
  journalReducer,
  partyEvents,
  type RateEvent,
  type RatesState,
  rateEvents,
  ratesReducer,
} from '#domain';
import {
  canonicalJson,
  definitionOf,
  type EventCatalogue,
  envelopeOf,
  LeafHasher,
  leafHashOf,
  type StoredEvent,
  upcast,
} from '#event-store';
import { actionEvents, sealEvents } from '#ledger';

const catalogue: EventCatalogue = {
  ...bookEvents,
  ...accountEvents,
  ...journalEvents,
  ...rateEvents,
  ...partyEvents,
  ...actionEvents,
  ...sealEvents,
};

/** Recorded when the file was made. A file that no longer has this hash was changed: restore it. */
const hashes: Record<string, string> = {
  'BookOpened.v1': 'bb3cd6c3a3634bb8489f25f166759678622c0774860a1961441059888749a966',
  'FiscalYearDefined.v1': '40f33619b129a9ae6a9b5062de75ad8ae1508cc0b35005c2771461589b552ef2',
  'JournalDefined.v1': '991aae229b45b29eb9501a147ad087490fff441327a8d10c26ac461d59c26012',
  'CurrencyEnabled.v1': 'd00a958100e4581488615b298c3af91060467a5808f8971ffa01346d2740baee',
  'PeriodClosed.v1': 'bdc5959188ed6cac4fb3c68c2e5f9609cfbdd2d6c97be9a117127722899cb821',
  'AccountOpened.v1': 'b5f3cd6539cec614751b3ed82cdcb035b0e857b7661c9bd9c535b084496ae4cd',
  'AccountCodeChanged.v1': 'acd910c34f2395012c371cbca5cf4493186a1b1a6a39cd145227e0f573488188',
  'AccountRenamed.v1': '615729a0d47c4b06ed670c24234ef26ecf1b797de59d67bbb28a99161ea4ad0b',
  'AccountFrozen.v1': '8186165d68e7aed316bc120a5ecfb48191d94019cb6af201bb4b4f62f668bf00',
  'AccountUnfrozen.v1': 'fbc4bd79966a6aa60f2c7ba51b15ff02be6cf3548a0e01cb4ba1d0d35dc1ac12',
  'AccountClosed.v1': 'dc8feadc8d98b901bd9041fa2c4a3a7066444c0c78ab10cf792dc8fb786d6eb6',
  'AccountDebited.v1': '2e6ba0bee38006e8dcf694dd1300cdc2d532682e4672c03dc717af532dcb3ff5',
  'AccountCredited.v1': '1b1a7a00d8aad7f91a0a4d0429cac32d461893aca6220af4f283730ee1a5fde9',
  'JournalEntryPosted.v1': 'ebf209fb6fbd078634c63e92c1abe22dbbd548773f2c3041514b459ae133bcf7',
  'JournalEntryReversed.v1': 'f1c13d7bc40908efe0ee985fd9143d34684734517c755f6a6f7fa87ff1a16f2a',
  'PeriodClosed.v2': '61ee92a4d7f22f0a06b8941eb39db282b3fe15234530d16be30af1d2266eefd8',
  'PeriodReopeningRequested.v1': '9b33d912bb98c7d68ceb3a87c540403a6f0c1ae0b61984602c3ce883a2b823d0',
  'PeriodReopeningDeclined.v1': '9c962a096bd4356ce8867d7a46a9f65bef16fccff7e10211114585699112c0ea',
  'PeriodReopened.v1': 'bc6a6d7708b5a76932b72185dc3432709c7baeee339369e8e6263fd050f55adc',
  'AccountDesignated.v1': '3057bc1e608528590b3cf5be80f6203158e05c47b554eff170e47842d0da0e8b',
  'ExchangeRateRecorded.v1': '81cc25aec62fbd7431eba3e2390dde799e53463e4c47943ae462e2a33155a769',
  'JournalCreated.v1': '9091d82d3e09c1b9dd5800cab4c34def833e03b12f82a8f5091a74d42814255a',
  'JournalRevised.v1': '7e3a759be87ce32761ae18b63499df8491495ef6fa325fe5e71dd49dd1f6e9e0',
  'JournalSubmitted.v1': '69228c12d285585ae39723f1d65cba2ff3c69b100c1cfca3b5fc1f87f2bded1b',
  'JournalRejected.v1': 'f9892848d0f011aa7b9c08a44d2cae78d4ef73de3fdee107a1058a18848c3f12',
  'JournalApproved.v1': '3aa993f24ca612324cf0874635e02c9417d8eb16add76533f25a3a2bb4eb72c0',
  'FiscalYearDefined.v2': '80af13badd4a977c306d7bc8eb558c0d34469fbb008d502f95bfdc00d142f7e4',
  'AuditTrailSealed.v1': '5ab38326d6736253502b385215116ecd53f92c392c62daf2a560582c6cb7a176',
  'UserActed.v1': 'aa2368bd960a6b670e0655bab9da7b92387e912e9c5e9f30bcd522744e37dfc5',
  'RetentionDefined.v1': '7296adc1cb53fdf97356c32b3dc9849edcae0d143b2bb6090fea4d8c52c2af2b',
  'PartyOpened.v1': 'bdbbdc8121e75c03120e6fa620a44a44de9857d01446ceb37002826896e13f8d',
  'PartyChanged.v1': '6825038af480cb01e19985beaf0a5762aecb192a0bcf9a664497bac17a3850de',
  'PartyClosed.v1': '94c64adf2c77d760dbf88fc95d382d759eaa55a849e898633d4505dee9d869ae',
  'LegalHoldPlaced.v1': '1a390d4e523f7b36b368592fd24d11ba00a611b6bd8dd38e9ce6919f354836ac',
  'LegalHoldReleased.v1': 'e15895ab5d29e8c40c091790f5b74ab8ecae1bd9601d67fc7b7f77179823cd0e',
  'PersonErased.v1': '5fba0fd730ed1d0f8881ea31db2b5fad866d858f8b341445afa5bd3832d06a72',
  'RetentionEnded.v1': '40ab4fae2ac0c7850516f08196a75f025ea7f4afedb4c50d61f2776fb407543b',
  'JournalDiscarded.v1': '10f3a682ef4b16248d90f91fd5bee4583e4487d4feabddf90b6b9ba41b4837de',
};

interface Golden {
  readonly event: Omit<StoredEvent, 'leafHash'>;
  readonly canonical: string;
  readonly leafHash: string;
}
const directory = join(__dirname, '..', 'golden', 'events');
const files = readdirSync(directory).map((file) => file.replace(/\.json$/, ''));
const golden = (name: string) => JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8')) as Golden;
const stored = ({ event, leafHash }: Golden): StoredEvent => ({ ...event, leafHash: Buffer.from(leafHash, 'hex') });

describe('golden events', () => {
  it('are there for every version of every event type, and for no type that the catalogue has forgotten', () => {
    const expected = Object.entries(catalogue).flatMap(([type, { version }]) =>
      Array.from({ length: version }, (_, index) => `${type}.v${index + 1}`),
    );
    expect([...files].sort()).toEqual([...expected].sort());
    expect(Object.keys(hashes).sort()).toEqual([...expected].sort());
  });

  it.each(files)('%s has the bytes and the leaf hash that it was recorded with', (name) => {
    const file = golden(name);
    const event = stored(file);
    expect(file.leafHash).toBe(hashes[name]);
    expect(`${event.eventType}.v${event.eventVersion}`).toBe(name);
    const envelope = envelopeOf(catalogue, event);
    expect(canonicalJson(envelope)).toBe(file.canonical);
    expect(leafHashOf(catalogue, event).toString('hex')).toBe(file.leafHash);
    const { userId, ...metadata } = event.metadata as { userId?: string };
    const { version, canonicalText } = definitionOf(catalogue, event.eventType);
    if (event.eventVersion === version) {
      const data = canonicalText?.(event.data as never) ?? canonicalJson(event.data);
      const parts = { ...event, data, metadata: canonicalJson(metadata), userId };
      expect(new LeafHasher(catalogue, event.bookId, event.recordedAt).hash(event.eventType, parts)).toBe(file.leafHash);
    }
    // By anyone: the canonical text is of the envelope, the hash of a zero byte and the text.
    expect(canonicalize(envelope)).toBe(file.canonical);
    expect(createHash('sha256').update('\0').update(file.canonical, 'utf8').digest('hex')).toBe(file.leafHash);
  });

  it('are one log, which is still read and folded as it was meant', () => {
    const all = files.map((name) => stored(golden(name)));
    const log = all.filter(({ bookId }) => bookId === 'golden').sort((a, b) => a.position - b.position);
    expect(log.map(({ position }) => position)).toEqual(log.map((_, index) => index + 1));
    let book: BookState | undefined;
    let account: AccountState | undefined;
    const entries = new Map<string, JournalState>();
    let rates: RatesState | undefined;
    for (const event of log) {
      const folded = { type: event.eventType, data: upcast(catalogue, event) };
      const { aggregateType } = definitionOf(catalogue, event.eventType);
      if (aggregateType === 'Book') book = bookReducer.evolve(book, folded as unknown as BookEvent);
      else if (aggregateType === 'Account') account = accountReducer.evolve(account, folded as unknown as AccountEvent, event.streamId);
      else if (aggregateType === 'ExchangeRates') rates = ratesReducer.evolve(rates, folded as unknown as RateEvent);
      else entries.set(event.streamId, journalReducer.evolve(entries.get(event.streamId), folded as unknown as JournalEvent));
      const states: Record<string, { version: number } | undefined> = {
        Book: book,
        Account: account,
        ExchangeRates: rates,
        Journal: entries.get(event.streamId),
      };
      const state = states[aggregateType];
      expect(state?.version).toBe(event.version);
    }
    expect(book).toMatchObject({
      name: 'Müller & Söhne “Gold” 金',
      fx: 'tracked',
      currencies: { EUR: 2 },
      periods: { '2026/1': { status: 'hard_closed' } },
      designated: { rounding: '0198c0de-0000-7000-8000-000000000100' },
      calendar: 'given',
      journals: [{ journalCode: 'SALES' }],
      fiscalYears: [{ label: 'FY26', periods: [{ no: 1 }, { no: 2 }, { no: 3, kind: 'adjustment' }] }],
      replaced: ['2026'],
    });
    expect(account).toMatchObject({
      code: '1600',
      type: 'asset',
      status: 'closed',
      currencies: ['EUR', 'USD'],
      limits: [{ currency: 'EUR', min: '-100.00', max: '5000' }],
      totals: [{ currency: 'EUR', scale: 2, debit: 10_000n, credit: 10_000n }],
    });
    expect(rates).toEqual({
      from: 'USD',
      to: 'EUR',
      rateType: 'spot',
      version: 1,
      rates: [{ date: '2026-06-30', source: 'ECB', value: '0.9192' }],
    });
    const [entry, draft, ...more] = entries.values();
    expect(more).toEqual([]);
    expect(entry).toMatchObject({
      reversedBy: '0198c0de-0000-7000-8000-000000000202',
      posted: { number: 1, lines: [{ line: 1 }, { line: 2 }] },
    });
    expect(draft).toMatchObject({
      version: 6,
      draft: {
        ...{ status: 'discarded', fiscalYear: '2027', period: 1, createdBy: 'u-1', revisedBy: 'u-2', approvedBy: 'u-2' },
        content: { effectiveDate: '2026-07-01', lines: [{ account: '1600', amount: '100' }, { side: 'credit' }] },
      },
    });
  });
});
