/** What can be asked of reports. */
import { type RateType, rateTypes } from '#domain';
import type { ReportQuestion } from '#ledger';
import { Currency, DimensionFilter, EffectiveDate, FlagText, JournalCode, KnownAt, OneOf, Text, WholeText } from './members';
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

/** Of reports that come in pages. */
class ListingQuery extends LinesQuery {
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
