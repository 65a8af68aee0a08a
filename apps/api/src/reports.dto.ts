/** What can be asked of reports. */
import { type RateType, rateTypes } from '#domain';
import { type EntryTestsAsked, entryTestBounds, entryTestDefaults, entryTestOwners, entryTests, type ReportQuestion } from '#ledger';
import {
  Amount,
  Currency,
  DimensionFilter,
  EffectiveDate,
  FlagText,
  JournalCode,
  KnownAt,
  OneOf,
  Text,
  TextOrTexts,
  WholeText,
} from './members';
import { carryChoice, closingChoice, dimensionFilter, whole } from './queries.dto';

const optional = true;
const period = {
  optional,
  description: 'A fiscal year (`2026`) or one of its periods (`2026/6`), instead of dates.',
  example: '2026/6',
} as const;

const Levels = () =>
  WholeText(1, 1000, { optional, description: 'Levels of the chart that are shown; what lies below is summed into them.', example: 2 });
const MoreColumns = () =>
  Text(1000, {
    optional,
    description:
      'More columns, up to 11, separated by commas: fiscal years, periods, ranges `2025-01-01..2025-12-31`, or dates where the report is as of a date.',
    example: '2025,2024',
  });
const In = () =>
  Currency({
    optional,
    description:
      'Presentation currency: amounts are converted at recorded rates. The base currency of a book with fx=tracked is what its lines state, unless rateDate or rateType is given.',
    example: 'EUR',
  });
const RateDate = () =>
  EffectiveDate({ optional, description: 'Day of the rates; the last day of each column when left out.', example: '2026-12-31' });
const RateTypeName = () => OneOf(rateTypes, { optional, description: 'Type of the rates.', default: 'closing' });
const IncludeZero = () => FlagText({ optional, description: 'Also rows in which everything is zero.', default: false });

/** Of every report. */
class AnyReportQuery {
  @KnownAt({
    optional,
    description:
      'A position, an RFC 3339 instant, or the close of a period (close:2026-06, hard-close:2026-06): as known then. The head when left out.',
    example: '2026-07-02T12:00:00Z',
  })
  knownAt?: string;

  @WholeText(1, 1000, {
    optional,
    description: 'Version of the report; the newest when left out. The bytes of a version never change.',
    example: 1,
  })
  reportVersion?: string;

  @OneOf(['json', 'csv'], { optional, description: 'Also by `Accept: text/csv`.', default: 'json' })
  format?: string;

  @Currency({ optional, description: 'Only lines in this currency.', example: 'EUR' })
  currency?: string;
}

/** Of reports that may be about some lines only. */
class LinesQuery extends AnyReportQuery {
  @DimensionFilter(dimensionFilter)
  dimension?: string | string[];
}

class RowsQuery extends LinesQuery {
  @IncludeZero()
  includeZero?: string;
}

/** Of reports whose rows are the chart of accounts. */
class TreeQuery extends RowsQuery {
  @Levels()
  depth?: string;

  @MoreColumns()
  compare?: string;

  @In()
  in?: string;

  @RateDate()
  rateDate?: string;

  @RateTypeName()
  rateType?: RateType;
}

const from = EffectiveDate({ optional, description: 'First day; needs `to`, or give `period`.', example: '2026-01-01' });
const to = EffectiveDate({ optional, description: 'Last day.', example: '2026-12-31' });
const asOf = EffectiveDate({ optional, description: 'Lines up to the end of this day; or give `period`.', example: '2026-12-31' });

export class TrialBalanceQuery extends TreeQuery {
  @from
  from?: string;

  @to
  to?: string;

  @Text(41, period)
  period?: string;

  @carryChoice
  carry?: string;

  @closingChoice('include')
  closing?: string;
}

export class IncomeStatementQuery extends TreeQuery {
  @from
  from?: string;

  @to
  to?: string;

  @Text(41, period)
  period?: string;

  @closingChoice('exclude')
  closing?: string;
}

export class BalanceSheetQuery extends TreeQuery {
  @asOf
  asOf?: string;

  @Text(41, period)
  period?: string;

  @carryChoice
  carry?: string;

  @closingChoice('include')
  closing?: string;
}

/** Without dimensions: a flow is what all other lines of an entry do to cash. */
export class CashFlowQuery extends AnyReportQuery {
  @IncludeZero()
  includeZero?: string;

  @from
  from?: string;

  @to
  to?: string;

  @Text(41, period)
  period?: string;

  @Levels()
  depth?: string;

  @MoreColumns()
  compare?: string;

  @In()
  in?: string;

  @RateDate()
  rateDate?: string;

  @RateTypeName()
  rateType?: RateType;
}

/** Of reports over a range that come in pages. */
class PagesQuery extends AnyReportQuery {
  @from
  from?: string;

  @to
  to?: string;

  @Text(41, period)
  period?: string;

  @Text(2000, { optional, description: '`nextCursor` of the page before, of JSON; goes with the same filters only.' })
  cursor?: string;

  @WholeText(1, 1000, { optional, description: 'Rows of a page of JSON; CSV comes whole.', default: 100, example: 100 })
  limit?: string;
}

class ListingQuery extends PagesQuery {
  @DimensionFilter(dimensionFilter)
  dimension?: string | string[];
}

export class GeneralLedgerQuery extends ListingQuery {
  @carryChoice
  carry?: string;

  @closingChoice('include')
  closing?: string;

  @IncludeZero()
  includeZero?: string;
}

export class JournalQuery extends ListingQuery {
  @JournalCode({ optional, description: 'Only this day book.', example: 'GENERAL' })
  journalCode?: string;
}

export class ChangesSinceQuery extends ListingQuery {
  @KnownAt({
    optional,
    description:
      'Needed. A position, an instant or the close of a period: what was known before the changes. Since close:2026-06 is what was posted after the close.',
    example: '2026-07-02T12:00:00Z',
  })
  since?: string;

  @closingChoice('include')
  closing?: string;
}

const threshold = (member: keyof typeof entryTestBounds, description: string) => {
  const [min, max] = entryTestBounds[member];
  return WholeText(min, max, { optional, description, default: (entryTestDefaults as EntryTestsAsked)[member] });
};
const amountThreshold = (member: keyof typeof entryTestDefaults, description: string) =>
  Amount({ optional, description, default: entryTestDefaults[member] });

/** Without dimensions: what is rare or there twice is so in the entries of everybody. */
export class JournalEntryTestsQuery extends PagesQuery {
  @Text(400, {
    optional,
    description: `Names of tests, separated by commas: ${entryTests.join(', ')}. All when left out.`,
    example: 'night,weekend',
  })
  tests?: string;

  @threshold('duplicateDays', 'duplicates: how many days apart the dates may be.')
  duplicateDays?: string;

  @amountThreshold('duplicateMinimum', 'duplicates: amounts from this on, in the currency of the line.')
  duplicateMinimum?: string;

  @threshold('roundZeros', 'round-amounts: zeros that a whole amount ends in.')
  roundZeros?: string;

  @amountThreshold('roundMinimum', 'round-amounts: amounts from this on, in the currency of the line.')
  roundMinimum?: string;

  @Text(13, {
    optional,
    description: 'weekend: days of the week, 1 (Monday) to 7 (Sunday), separated by commas.',
    default: entryTestDefaults.weekendDays,
    example: '5,6',
  })
  weekendDays?: string;

  @Text(11, {
    optional,
    description: "night: two times of day in the book's time zone; the second one is no part of the window.",
    default: entryTestDefaults.nightHours,
    example: '22:00-05:30',
  })
  nightHours?: string;

  @threshold('rareUserEntries', 'rare-users: users with fewer entries in the range.')
  rareUserEntries?: string;

  @amountThreshold('rareUserPercent', 'rare-users: also users with less than this percentage of the entries.')
  rareUserPercent?: string;

  @threshold('rareAccountLines', 'rare-accounts: accounts with fewer lines in the range.')
  rareAccountLines?: string;

  @threshold('rarePairEntries', 'rare-account-pairs: debit and credit accounts that are in at most so many entries together.')
  rarePairEntries?: string;

  @TextOrTexts(20, 200, {
    optional,
    description: 'no-description: a text that stands for none, whatever its case; may be given several times.',
    default: entryTestDefaults.placeholders,
  })
  placeholder?: string | string[];

  @threshold('descriptionLength', 'no-description: descriptions with fewer characters.')
  descriptionLength?: string;

  @threshold('lateDays', 'posted-after-close: recorded more days than this after the end of the fiscal year.')
  lateDays?: string;

  @threshold('benfordLines', 'benford: lines that a currency needs for the test to say anything.')
  benfordLines?: string;

  @amountThreshold('benfordMinimum', 'benford: amounts from this on, in the currency of the line.')
  benfordMinimum?: string;

  @amountThreshold('benfordZ', 'benford: digit pairs with a higher z-statistic are hits.')
  benfordZ?: string;

  @threshold('digits', 'benford: also list the entries with lines whose amounts begin with these two digits.')
  digits?: string;
}

export class ValuationQuery extends RowsQuery {
  @asOf
  asOf?: string;

  @Text(41, period)
  period?: string;

  @Currency({ optional, description: 'Currency of the values; the base currency when left out.', example: 'EUR' })
  in?: string;

  @RateDate()
  rateDate?: string;

  @RateTypeName()
  rateType?: RateType;
}

/** Of journal-entry tests. */
export function entryTestsQuestionOf(query: JournalEntryTestsQuery): ReportQuestion {
  const { tests, placeholder, ...others } = query;
  const { placeholders: _placeholders, ...owners } = entryTestOwners;
  const thresholds = (Object.keys(owners) as (keyof typeof owners)[]).map((member) => [
    member,
    Object.hasOwn(entryTestBounds, member) ? whole(query[member]) : query[member],
  ]);
  const placeholders = placeholder === undefined ? undefined : [placeholder].flat();
  const rest = Object.fromEntries(Object.entries(others).filter(([member]) => !Object.hasOwn(owners, member)));
  return { ...questionOf(rest), entryTests: { ...Object.fromEntries(thresholds), tests, placeholders } };
}

/** A question as Reports takes it: numbers and flags of a query are text that was checked. */
export function questionOf(query: object): ReportQuestion {
  const { format: _format, dimension, depth, limit, reportVersion, includeZero, ...others } = query as Record<string, string | string[]>;
  const number = (text: string | string[] | undefined): number | undefined => whole(text as string | undefined);
  return {
    ...(others as ReportQuestion),
    dimensions: dimension === undefined ? undefined : [dimension].flat(),
    depth: number(depth),
    limit: number(limit),
    reportVersion: number(reportVersion),
    includeZero: includeZero === undefined ? undefined : includeZero === 'true',
  };
}
