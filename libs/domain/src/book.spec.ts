/** The Book: how it is opened, its fiscal years and periods, its day books and currencies. */
import * as fc from 'fast-check';
import {
  aBook,
  account,
  calendarYear,
  closed,
  credit,
  debit,
  type GivenEvent,
  generalJournal,
  given,
  history,
  NaiveBook,
  onBook,
  opened,
  post,
} from '../../../test/support/given-when-then';
import { type BookState, bookReducer, currencyForm, type OpenBook, scaleOf, todayIn } from './book';
import { addDays, isMonthDay } from './calendar-date';
import {
  type DefineFiscalYear,
  type FiscalYear,
  type FiscalYearDefined,
  firstOpenDay,
  missingYears,
  type Period,
  periodOf,
} from './fiscal-calendar';
import type { PostEntry } from './journal';

const open = (more: Partial<OpenBook> = {}): OpenBook => ({
  type: 'OpenBook',
  id: 'acme',
  name: 'Acme',
  baseCurrency: 'EUR',
  fiscalYearStart: '01-01',
  ...more,
});
const defineYear = (more: Partial<DefineFiscalYear> = {}): DefineFiscalYear => ({
  type: 'DefineFiscalYear',
  label: '2027',
  from: '2027-01-01',
  to: '2027-12-31',
  ...more,
});
const state = (...events: readonly (GivenEvent | readonly GivenEvent[])[]): BookState => new NaiveBook(events.flat()).book() as BookState;
const period = (no: number, from: string, to: string, kind: Period['kind'] = 'normal'): Period => ({ no, from, to, kind });

const startsOfYear = Array.from({ length: 365 }, (_, index) => addDays('2001-01-01', index).slice(5)).filter(isMonthDay);

describe('opening a book', () => {
  it('records the book with its defaults, the fiscal year of today, and the day book GENERAL', () => {
    given()
      .when(open(), { today: '2026-07-05' })
      .thenEvents(
        opened({ name: 'Acme', baseCurrency: 'EUR', fx: 'untracked', rounding: 'half_even', timeZone: 'UTC', fiscalYearStart: '01-01' }),
        calendarYear(2026),
        generalJournal,
      );
  });

  it('keeps what the caller chose, and takes the fiscal year of the book’s start', () => {
    const entity = { legalName: 'Acme GmbH', country: 'DE', taxNumbers: ['DE1'] };
    const chosen = {
      entity,
      framework: 'hgb',
      fx: 'tracked',
      rounding: 'half_away_from_zero',
      timeZone: 'Europe/Berlin',
      startsOn: '2020-05-15',
      metadata: { a: 1 },
    } as const;
    const [book, year] = given()
      .when(open({ ...chosen, reason: 'new company' }))
      .thenAccepted();
    expect(book?.data).toEqual({ name: 'Acme', baseCurrency: 'EUR', fiscalYearStart: '01-01', ...chosen });
    expect(year?.data).toMatchObject({ label: '2020', from: '2020-01-01', to: '2020-12-31' });
  });

  it('knows today by the book’s time zone', () => {
    const now = Date.parse('2026-12-31T23:30:00Z') * 1_000;
    expect(todayIn({ timeZone: 'Europe/Berlin' }, now)).toBe('2027-01-01');
    const yearOf = (timeZone: string) => given().when(open({ timeZone }), { now }).thenAccepted()[1]?.data;
    expect(yearOf('Europe/Berlin')).toMatchObject({ label: '2027' });
    expect(yearOf('America/New_York')).toMatchObject({ label: '2026' });
  });

  it('is refused when the id is taken', () => {
    given(aBook()).when(open()).thenRefused('book_exists', { book: 'acme' });
  });

  it('takes a base currency of ISO 4217, or one of the caller’s own with its decimals, which are final then', () => {
    for (const code of ['EURO', 'XAU', 'EUT', 'eur']) {
      const { message } = given()
        .when(open({ baseCurrency: code }))
        .thenRefused('malformed', { member: 'baseCurrency' });
      expect(message).toContain('baseCurrencyScale');
    }
    const own = given()
      .when(open({ baseCurrency: 'POINTS', baseCurrencyScale: 0 }))
      .thenAccepted();
    expect(own.map(({ type, data }) => [type, data])).toEqual([
      ['BookOpened', expect.not.objectContaining({ baseCurrencyScale: 0 })],
      ['FiscalYearDefined', expect.anything()],
      ['JournalDefined', expect.anything()],
      ['CurrencyEnabled', { code: 'POINTS', scale: 0 }],
    ]);
    given()
      .when(open({ baseCurrencyScale: 4 }))
      .thenAccepted();
    for (const scale of [1, -1, 19, 2.5])
      given()
        .when(open({ baseCurrencyScale: scale }))
        .thenRefused('malformed', { member: 'baseCurrencyScale' });
  });

  it.each(['Mars/Olympus', '', 'Europe/', '+01:00', '-05:30', '+0100', 'UTC+1'])('is refused with the time zone %j', (timeZone) => {
    given().when(open({ timeZone })).thenRefused('malformed', { member: 'timeZone' });
  });

  it.each(['02-29', '00-01', '13-01', '1-1', '04-31', '', '2026-01-01'])('is refused with the fiscal year start %j', (fiscalYearStart) => {
    given().when(open({ fiscalYearStart })).thenRefused('malformed', { member: 'fiscalYearStart' });
  });
});

describe('generated fiscal years', () => {
  /** The fiscal year that a book begins with whose year starts on this day. */
  const firstYear = (fiscalYearStart: string, date: string): FiscalYear =>
    missingYears(state(opened({ fiscalYearStart })), date)?.[0] as FiscalYear;

  it('begin on the day of every year that the book names, and are named after the calendar year in which they end', () => {
    expect(startsOfYear).toHaveLength(365);
    const wrong = startsOfYear.flatMap((start) =>
      ['2026-02-28', '2027-12-31', '2028-02-29', '2028-03-01'].filter((date) => {
        const { from, to, label } = firstYear(start, date);
        const right = from.slice(5) === start && addDays(to, 1).slice(5) === start && from <= date && date <= to;
        return !right || label !== to.slice(0, 4) || Number(addDays(to, 1).slice(0, 4)) !== Number(from.slice(0, 4)) + 1;
      }),
    );
    expect(wrong).toEqual([]);
  });

  it('have twelve periods that adjoin and cover the year', () => {
    const wrong = startsOfYear.filter((start) => {
      const { from, to, periods } = firstYear(start, '2028-02-29');
      const adjoining = periods.every(
        (month, index) =>
          month.no === index + 1 &&
          month.kind === 'normal' &&
          month.from <= month.to &&
          month.from === (index === 0 ? from : addDays(periods[index - 1]?.to as string, 1)),
      );
      return !adjoining || periods.length !== 12 || periods[11]?.to !== to;
    });
    expect(wrong).toEqual([]);
  });

  it('are added without a gap over decades, forward and backward, whatever day they begin on', () => {
    const aDay = fc.integer({ min: 0, max: 36_500 }).map((days) => addDays('1980-01-01', days));
    fc.assert(
      fc.property(fc.constantFrom(...startsOfYear), aDay, aDay, (fiscalYearStart, first, date) => {
        const begun = state(opened({ fiscalYearStart }), onBook('FiscalYearDefined', firstYear(fiscalYearStart, first)));
        const years = missingYears(begun, date);
        const ahead = Number(date.slice(0, 4)) - Number(begun.fiscalYears[0]?.to.slice(0, 4));
        if (years === undefined) return expect(ahead).toBeGreaterThanOrEqual(20);
        expect(ahead).toBeLessThanOrEqual(21);
        const book: BookState = { ...begun, fiscalYears: [...begun.fiscalYears, ...years].sort((a, b) => (a.from < b.from ? -1 : 1)) };
        const wrong = book.fiscalYears.filter(
          ({ label, from, to }, index) =>
            label !== to.slice(0, 4) || (index > 0 && addDays(book.fiscalYears[index - 1]?.to as string, 1) !== from),
        );
        expect(wrong).toEqual([]);
        expect(new Set(book.fiscalYears.map(({ label }) => label)).size).toBe(book.fiscalYears.length);
        expect(periodOf(book, date)).toBeDefined();
        // No more than is needed: the last one added is the one that the date lies in.
        const last = years.at(-1);
        if (last !== undefined) expect(last.from <= date && date <= last.to).toBe(true);
        expect(missingYears(book, date)).toEqual([]);
      }),
    );
  });

  it('are recorded in the same unit as the entry that needs them first, in order', () => {
    const book = [aBook(), account('CASH'), account('SALES', { type: 'income', normalSide: 'credit' })];
    const lines = [debit('CASH', '1'), credit('SALES', '1')];
    const labels = (effectiveDate: string) =>
      given(...book)
        .when(post(lines, { effectiveDate }))
        .thenAccepted()
        .flatMap(({ type, data }) => (type === 'FiscalYearDefined' ? [(data as FiscalYear).label] : []));
    expect(labels('2026-12-31')).toEqual([]);
    expect(labels('2027-01-01')).toEqual(['2027']);
    expect(labels('2030-06-30')).toEqual(['2027', '2028', '2029', '2030']);
    expect(labels('2023-06-30')).toEqual(['2025', '2024', '2023']);
    expect(labels('1900-01-01')).toHaveLength(126);
    expect(labels('2046-12-31')).toHaveLength(20);
  });

  it('are not added more than 20 years ahead at a time: a mistyped year is told, with what to do if it was meant', () => {
    const book = [...aBook(), account('CASH'), account('BANK')];
    const command = (effectiveDate: string) => post([debit('CASH', '1'), credit('BANK', '1')], { effectiveDate });
    for (const date of ['2047-01-01', '2062-01-15', '2199-12-31']) {
      const { message } = given(...book)
        .when(command(date))
        .thenRefused('no_fiscal_year', { effectiveDate: date });
      expect(message).toContain('2026-01-01 … 2026-12-31, and an entry extends them by 20 years at most, to 2046-12-31');
    }
    given(...history(book, command('2046-01-01')))
      .when(command('2062-01-15'), { id: 'second' })
      .thenAccepted();
  });

  it('reach over the ends of the range where a fiscal year does', () => {
    expect(firstYear('04-01', '1900-01-01')).toMatchObject({ label: '1900', from: '1899-04-01', to: '1900-03-31' });
    expect(firstYear('04-01', '2199-12-31')).toMatchObject({ label: '2200', from: '2199-04-01', to: '2200-03-31' });
  });
});

describe('fiscal years defined by hand', () => {
  /** A year of whole weeks: quarters of 4, 4 and 5 weeks, the 53rd week in the last period. */
  function weeks(from: string, count: 52 | 53): { to: string; periods: Period[] } {
    const lengths = [4, 4, 5, 4, 4, 5, 4, 4, 5, 4, 4, count === 53 ? 6 : 5];
    const periods: Period[] = [];
    for (const length of lengths) {
      const start = periods.length === 0 ? from : addDays(periods.at(-1)?.to as string, 1);
      periods.push(period(periods.length + 1, start, addDays(start, 7 * length - 1)));
    }
    return { to: periods.at(-1)?.to as string, periods };
  }

  it('have the months of the year when no periods are given, the last one cut where the year ends', () => {
    const [event] = given(aBook())
      .when(defineYear({ to: '2027-09-25' }))
      .thenAccepted();
    const year = event?.data as FiscalYear;
    expect(year.periods).toHaveLength(9);
    expect(year.periods.at(-1)).toEqual(period(9, '2027-09-01', '2027-09-25'));
    expect(year).toMatchObject({ label: '2027', given: true });
  });

  it('may be short, have 52 or 53 weeks, and a 13th period for adjustments', () => {
    const short = defineYear({ label: '2027S', to: '2027-09-25' });
    const first = weeks('2027-09-26', 52);
    const second = weeks(addDays(first.to, 1), 53);
    const year2028 = defineYear({ label: 'FY28', from: '2027-09-26', ...first });
    const year2029 = defineYear({
      label: 'FY29',
      from: addDays(first.to, 1),
      to: second.to,
      periods: [...second.periods, period(13, second.to, second.to, 'adjustment')],
    });
    const book = state(history(aBook(), short, year2028, year2029));
    expect(book.fiscalYears.map(({ label }) => label)).toEqual(['2026', '2027S', 'FY28', 'FY29']);
    expect(first.to).toBe('2028-09-23');
    expect(second.to).toBe('2029-09-29');
    expect(periodOf(book, '2028-09-23')).toMatchObject({ fiscalYear: 'FY28', period: 12 });
    expect(periodOf(book, '2028-09-24')).toMatchObject({ fiscalYear: 'FY29', period: 1 });
    // An ordinary entry on the day of the adjustment period lies in the normal one.
    expect(periodOf(book, '2029-09-29')).toMatchObject({ fiscalYear: 'FY29', period: 12 });
  });

  it('may adjoin the calendar in front', () => {
    const book = state(history(aBook(), defineYear({ label: '2025', from: '2025-07-01', to: '2025-12-31' })));
    expect(book.fiscalYears.map(({ label, from }) => [label, from])).toEqual([
      ['2025', '2025-07-01'],
      ['2026', '2026-01-01'],
    ]);
  });

  it('end the generating of years: from then on a date beyond them has no fiscal year', () => {
    const book = history([...aBook(), account('CASH'), account('BANK')], defineYear());
    const on = (effectiveDate: string) => given(book).when(post([debit('CASH', '1'), credit('BANK', '1')], { effectiveDate }));
    on('2027-12-31').thenAccepted();
    on('2028-01-01').thenRefused('no_fiscal_year', { effectiveDate: '2028-01-01' });
    on('2025-12-31').thenRefused('no_fiscal_year', { effectiveDate: '2025-12-31' });
    expect(missingYears(state(book), '2028-01-01')).toBeUndefined();
  });

  const twelve = () => calendarYear(2027).data as FiscalYear;
  const replaced = (index: number, change: Partial<Period>) =>
    twelve().periods.map((given, at) => (at === index ? { ...given, ...change } : given));
  it.each<[string, Partial<DefineFiscalYear>]>([
    ['that ends before it begins', { from: '2027-02-01', to: '2027-01-31' }],
    ['whose label is taken', { label: '2026' }],
    ['that leaves a gap', { from: '2027-01-02' }],
    ['that ends on a day that does not exist', { to: '2027-02-30' }],
    ['without a period', { periods: [] }],
    ['without a normal period', { periods: [period(1, '2027-01-01', '2027-12-31', 'adjustment')] }],
    ['whose periods are not numbered 1, 2, 3', { periods: replaced(4, { no: 7 }) }],
    ['whose periods do not begin with it', { periods: replaced(0, { from: '2027-01-02' }) }],
    ['whose periods do not end with it', { periods: replaced(11, { to: '2027-12-30' }) }],
    ['whose periods leave a gap', { periods: replaced(3, { to: '2027-04-29' }) }],
    ['whose periods overlap', { periods: replaced(3, { to: '2027-05-01' }) }],
    ['with a period that ends before it begins', { periods: replaced(3, { from: '2027-04-30', to: '2027-04-01' }) }],
    ['with a period on a day that does not exist', { periods: replaced(1, { to: '2027-02-30' }) }],
    ['with an adjustment period outside of it', { periods: [...twelve().periods, period(13, '2027-12-31', '2028-01-01', 'adjustment')] }],
    ['of more periods than it has days for', { to: '2199-12-31' }],
  ])('is refused: one %s', (_, change) => {
    given(aBook()).when(defineYear(change)).thenRefused('fiscal_year_invalid');
  });

  it('is refused in a book that does not exist', () => {
    given().when(defineYear()).thenRefused('book_unknown', { book: 'acme' });
  });
});

describe('a fiscal year given for days of generated ones', () => {
  const used = [...aBook(), account('CASH'), account('BANK')];
  const on = (effectiveDate: string, more: object = {}) => post([debit('CASH', '1'), credit('BANK', '1')], { effectiveDate, ...more });
  const at = (effectiveDate: string) => [on(effectiveDate), { id: `on-${effectiveDate}` }] as const;
  const draftOn = (effectiveDate: string) => ({ ...on(effectiveDate), type: 'CreateDraft' }) as const;
  const labels = (...events: readonly GivenEvent[]) => state(events).fiscalYears.map(({ label }) => label);
  const weekly = (more: Partial<DefineFiscalYear> = {}) => defineYear({ label: 'FY26', from: '2025-12-29', to: '2027-01-03', ...more });

  it('takes their place while nothing is in them: a book may begin with 53 weeks, with a short year, with a 13th period', () => {
    const { periods } = calendarYear(2026).data as FiscalYear;
    const begun: readonly [Partial<DefineFiscalYear>, string, number][] = [
      [{ label: '2026' }, '2027-01-03', 13],
      [{ label: 'short', from: '2026-04-01', to: '2026-12-31' }, '2026-12-31', 9],
      [
        {
          ...{ label: '2026', from: '2026-01-01', to: '2026-12-31' },
          periods: [...periods, period(13, '2026-12-31', '2026-12-31', 'adjustment')],
        },
        '2026-12-31',
        13,
      ],
    ];
    for (const [more, to, count] of begun) {
      const [event, ...others] = given(aBook()).when(weekly(more)).thenAccepted();
      expect(others).toEqual([]);
      expect(event).toMatchObject({ type: 'FiscalYearDefined', data: { given: true, replaces: ['2026'] } });
      const book = state(history(aBook(), weekly(more)));
      expect(book.fiscalYears).toMatchObject([{ label: more.label, to }]);
      expect(book.fiscalYears[0]?.periods).toHaveLength(count);
      expect(book.calendar).toBe('given');
    }
  });

  it('says nothing of a replacement where it adjoins them', () => {
    const [event] = given(aBook()).when(defineYear()).thenAccepted();
    expect((event?.data as FiscalYearDefined | undefined)?.replaces).toBeUndefined();
  });

  it('is asked of a state: entries of the days between lie in it, and the years before and after are given by hand too', () => {
    const book = history(used, weekly());
    expect(history(book, on('2027-01-03')).find(({ type }) => type === 'JournalEntryPosted')?.data).toMatchObject({
      ...{ fiscalYear: 'FY26', period: 13, number: 1 },
    });
    given(book).when(on('2027-01-04')).thenRefused('no_fiscal_year');
    expect(labels(...history(book, defineYear({ label: 'FY25', from: '2025-01-01', to: '2025-12-28' })))).toEqual(['FY25', 'FY26']);
  });

  it('takes those along that would no longer adjoin, and leaves those that do', () => {
    const years = history(used, draftOn('2029-05-05'), { type: 'DiscardDraft', entryId: 'new' });
    expect(labels(...years)).toEqual(['2026', '2027', '2028', '2029']);
    const replacing = (year: DefineFiscalYear) => {
      const [event] = given(years).when(year).thenAccepted();
      return [(event?.data as FiscalYearDefined | undefined)?.replaces, labels(...history(years, year))];
    };
    expect(replacing(defineYear({ label: 'FY27', from: '2027-01-01', to: '2028-01-02' }))).toEqual([
      ['2027', '2028', '2029'],
      ['2026', 'FY27'],
    ]);
    expect(replacing(defineYear({ label: '2027', from: '2027-01-01', to: '2027-12-31' }))).toEqual([
      ['2027'],
      ['2026', '2027', '2028', '2029'],
    ]);
    expect(replacing(defineYear({ label: 'FY27', from: '2027-01-04', to: '2027-12-31' }))).toEqual([
      ['2026', '2027'],
      ['FY27', '2028', '2029'],
    ]);
    expect(replacing(defineYear({ label: 'FY28', from: '2028-01-03', to: '2028-12-30' }))).toEqual([
      ['2026', '2027', '2028', '2029'],
      ['FY28'],
    ]);
  });

  it('may have the label of one that was replaced, also later and for other days', () => {
    const book = history(
      aBook(),
      defineYear({ label: '2027', from: '2026-06-29', to: '2027-06-27' }),
      defineYear({ label: '2026', from: '2025-06-30', to: '2026-06-28' }),
    );
    expect(labels(...book)).toEqual(['2026', '2027']);
    expect(state(book).replaced).toEqual([]);
  });

  it('is refused where entries were posted, and told which days are free', () => {
    const { message } = given(history(used, on('2026-03-01')))
      .when(weekly())
      .thenRefused('fiscal_year_invalid');
    expect(message).toBe(
      'fiscal year FY26 (2025-12-29 … 2027-01-03) cannot take the place of fiscal year 2026 (2026-01-01 … 2026-12-31): entries are posted in it; define a year that adjoins it, which begins on 2027-01-01 or ends on 2025-12-31',
    );
    // Also of years that are not overlapped, and could not stay.
    const next = history(used, on('2026-03-01'), [on('2027-03-01'), { id: 'next' }]);
    const [entry] = given(history(used, [on('2027-03-01'), { id: 'next' }]))
      .when(defineYear({ label: 'short', from: '2026-03-02', to: '2026-12-31' }))
      .thenAccepted();
    expect(entry?.data).toMatchObject({ replaces: ['2026'] });
    given(next).when(weekly()).thenRefused('fiscal_year_invalid');
    given(history(used, [on('2027-03-01'), { id: 'next' }]))
      .when(weekly({ to: '2026-12-30' }))
      .thenRefused('fiscal_year_invalid');
  });

  it('is refused where drafts are dated, and taken once they are discarded', () => {
    const drafted = history(used, [draftOn('2026-03-01'), { id: 'late' }]);
    expect(given(drafted).when(weekly()).thenRefused('fiscal_year_invalid').message).toContain(
      'drafts are dated in it; post, redate or discard late first (…/journal-drafts)',
    );
    given(history(drafted, { type: 'DiscardDraft', entryId: 'late' }))
      .when(weekly())
      .thenAccepted();
  });

  it('is refused where a period is closed, or has been: what a close put on record names the year', () => {
    const closes = closed('2026', 1, 'soft');
    const reopened = onBook('PeriodReopened', { fiscalYear: '2026', period: 1, requestedBy: 'a' });
    for (const events of [[closes], [closes, reopened]])
      expect(
        given(...aBook(), ...events)
          .when(weekly())
          .thenRefused('fiscal_year_invalid').message,
      ).toContain('or a period of it has been closed; define a year that adjoins it');
  });

  it('is refused where one was given, or where it overlaps nothing and would leave a gap', () => {
    given(history(aBook(), weekly()))
      .when(weekly({ label: 'FY26b' }))
      .thenRefused('fiscal_year_invalid');
    given(history(aBook(), weekly())).when(weekly()).thenRefused('fiscal_year_invalid');
    // A mistyped year does not do away with the calendar.
    expect(
      given(aBook())
        .when(defineYear({ label: '2062', from: '2062-01-01', to: '2062-12-31' }))
        .thenRefused('fiscal_year_invalid').message,
    ).toContain('define those in between first');
  });

  it('leaves years that adjoin, and every year that something was posted into, whatever it is', () => {
    const aDay = fc.integer({ min: 0, max: 1_800 }).map((days) => addDays('2024-06-01', days));
    fc.assert(
      fc.property(fc.uniqueArray(aDay, { maxLength: 3 }), aDay, fc.integer({ min: 10, max: 800 }), (days, from, length) => {
        const before = history(used, ...days.map((day): [PostEntry, object] => [...at(day)]));
        const year = defineYear({ label: 'given', from, to: addDays(from, length) });
        const book = new NaiveBook(before);
        try {
          book.execute(year);
        } catch (error) {
          expect(error).toMatchObject({ code: 'fiscal_year_invalid' });
        }
        const { fiscalYears } = book.book() as BookState;
        fiscalYears.forEach((known, index) => {
          if (index > 0) expect(known.from).toBe(addDays(fiscalYears[index - 1]?.to as string, 1));
        });
        for (const { type, data } of book.events) {
          if (type !== 'JournalEntryPosted') continue;
          const { effectiveDate, fiscalYear } = data as { effectiveDate: string; fiscalYear: string };
          const own = fiscalYears.find(({ label }) => label === fiscalYear);
          expect(own !== undefined && own.from <= effectiveDate && effectiveDate <= own.to).toBe(true);
        }
      }),
    );
  });
});

describe('the period of a day', () => {
  it('is the only normal one that has it, for every day of the calendar, and none elsewhere', () => {
    const adjusted = defineYear({
      label: '2026A',
      from: '2027-01-01',
      to: '2027-03-31',
      periods: [period(1, '2027-03-31', '2027-03-31', 'adjustment'), period(2, '2027-01-01', '2027-03-31')],
    });
    const book = state(history(aBook({ fiscalYearStart: '01-01' }), adjusted));
    for (let day = '2025-12-31'; day <= '2027-04-01'; day = addDays(day, 1)) {
      const having = book.fiscalYears.flatMap(({ label, periods }) =>
        periods
          .filter(({ from, to, kind }) => kind === 'normal' && from <= day && day <= to)
          .map(({ no }) => ({ fiscalYear: label, period: no })),
      );
      const inside = day >= '2026-01-01' && day <= '2027-03-31';
      expect(having).toHaveLength(inside ? 1 : 0);
      if (inside) expect(periodOf(book, day)).toMatchObject(having[0] as object);
      else expect(periodOf(book, day)).toBeUndefined();
    }
  });

  it('is asked of a state, not of an earlier one', () => {
    const before = state(aBook());
    expect(periodOf(before, '2026-01-15')).toMatchObject({ status: 'open' });
    expect(periodOf(state(aBook(), closed('2026', 1)), '2026-01-15')).toMatchObject({ status: 'hard_closed' });
    expect(periodOf(before, '2026-01-15')).toMatchObject({ status: 'open' });
  });
});

describe('a closed period (I9)', () => {
  const book = [aBook(), account('CASH'), account('BANK'), closed('2026', 1), closed('2026', 2), closed('2026', 12)];
  const on = (effectiveDate: string) => given(...book).when(post([debit('CASH', '1'), credit('BANK', '1')], { effectiveDate }));

  it('takes no entry on any of its days, and tells the first open one', () => {
    for (const date of ['2026-01-01', '2026-01-31', '2026-02-28']) {
      const refusal = on(date).thenRefused('period_closed', {
        effectiveDate: date,
        fiscalYear: '2026',
        period: date < '2026-02' ? 1 : 2,
        periodStatus: 'hard_closed',
      });
      expect(refusal.message).toContain('the first open day is 2026-03-01');
    }
    on('2026-03-01').thenAccepted();
    on('2026-11-30').thenAccepted();
    expect(on('2026-12-01').thenRefused('period_closed').message).toContain('2027-01-01');
  });

  it.each([
    ['2026-01-15', '2026-03-01'],
    ['2026-03-15', '2026-03-15'],
    ['2026-12-31', '2027-01-01'],
    ['2031-05-05', '2031-05-05'],
  ])('moves %s to the first open day %s', (date, first) => {
    expect(firstOpenDay(state(...book), date)).toBe(first);
  });
});

describe('the start of a book', () => {
  it('is the first effective date that it takes', () => {
    const book = [aBook({ startsOn: '2026-03-10' }), account('CASH'), account('BANK')];
    const on = (effectiveDate: string) => given(...book).when(post([debit('CASH', '1'), credit('BANK', '1')], { effectiveDate }));
    on('2026-03-10').thenAccepted();
    on('2026-03-09').thenRefused('before_book_start', { effectiveDate: '2026-03-09', startsOn: '2026-03-10' });
    on('1999-01-01').thenRefused('before_book_start');
  });
});

describe('day books', () => {
  it('are defined once', () => {
    const sales = { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales', journalType: 'sales' } as const;
    given(aBook())
      .when(sales)
      .thenEvents(onBook('JournalDefined', { journalCode: 'SALES', name: 'Sales', type: 'sales' }));
    given(aBook())
      .when({ ...sales, journalType: undefined })
      .thenEvents(onBook('JournalDefined', { journalCode: 'SALES', name: 'Sales', type: 'other' }));
    given(history(aBook(), sales)).when(sales).thenRefused('journal_exists', { journalCode: 'SALES' });
    given(aBook())
      .when({ ...sales, journalCode: 'GENERAL' })
      .thenRefused('journal_exists', { journalCode: 'GENERAL' });
    given().when(sales).thenRefused('book_unknown');
  });
});

describe('currencies', () => {
  const enable = (code: string, scale: number) => ({ type: 'EnableCurrency', code, scale }) as const;

  it('of ISO 4217 need no declaration, others do', () => {
    expect(scaleOf(state(aBook()), 'EUR')).toBe(2);
    expect(scaleOf(state(aBook()), 'BTC')).toBeUndefined();
    given(aBook())
      .when(enable('BTC', 8))
      .thenEvents(onBook('CurrencyEnabled', { code: 'BTC', scale: 8 }));
    expect(scaleOf(state(history(aBook(), enable('BTC', 8))), 'BTC')).toBe(8);
  });

  it('of ISO 4217 may be declared finer before their first use, never coarser', () => {
    given(aBook()).when(enable('EUR', 4)).thenAccepted();
    given(aBook()).when(enable('EUR', 2)).thenAccepted();
    given(aBook()).when(enable('EUR', 1)).thenRefused('malformed', { member: 'scale' });
    given(aBook()).when(enable('BHD', 2)).thenRefused('malformed', { member: 'scale' });
  });

  it('are declared once; the scale is final, by declaration or by first use', () => {
    given(history(aBook(), enable('BTC', 8)))
      .when(enable('BTC', 9))
      .thenRefused('currency_exists', { currency: 'BTC' });
    const used = history([...aBook(), account('CASH'), account('BANK')], post([debit('CASH', '1'), credit('BANK', '1')]));
    given(used).when(enable('EUR', 4)).thenRefused('currency_exists', { currency: 'EUR' });
  });

  it.each([-1, 19, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('have no scale of %d', (scale) => {
    given(aBook()).when(enable('BTC', scale)).thenRefused('malformed', { member: 'scale' });
  });

  it('may have the names of members that every object has', () => {
    for (const code of ['constructor', 'toString', 'valueOf', 'hasOwnProperty', '2330']) {
      expect(currencyForm.test(code)).toBe(true);
      expect(scaleOf(state(aBook()), code)).toBeUndefined();
      given(aBook()).when(enable(code, 3)).thenAccepted();
      expect(scaleOf(state(history(aBook(), enable(code, 3))), code)).toBe(3);
    }
    expect(currencyForm.test('__proto__')).toBe(false);
  });
});

describe('the folded book', () => {
  it('comes back from its snapshot as it was', () => {
    const book = state(
      history(
        aBook({ entity: { legalName: 'Acme', country: 'DE' }, metadata: { a: [1, 'x', true] } }),
        defineYear(),
        { type: 'EnableCurrency', code: 'BTC', scale: 8 },
        { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales' },
      ),
      closed('2026', 1),
    );
    const again = bookReducer.fromSnapshot(JSON.parse(JSON.stringify(bookReducer.toSnapshot(book))));
    expect(again).toEqual(book);
    expect(periodOf(again, '2026-01-31')).toEqual(periodOf(book, '2026-01-31'));
  });

  it('begins with BookOpened', () => {
    expect(() => bookReducer.evolve(undefined, { type: 'CurrencyEnabled', data: { code: 'EUR', scale: 2 } })).toThrow('before BookOpened');
  });
});
