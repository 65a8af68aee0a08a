/** Bodies of commands that close and reopen periods, and what they answer. */
import { ApiProperty } from '@nestjs/swagger';
import type { ClosePeriod, ReopenPeriod } from '#domain';
import { Recorded } from './books.dto';
import { Flag, OneOf, Prose } from './members';

/** The period that a path leads to: `2026/6`. */
function periodAt(target: string): { readonly fiscalYear: string; readonly period: number } {
  const [fiscalYear = '', period] = target.split('/');
  return { fiscalYear, period: Number(period) };
}

export class ClosePeriodBody {
  @OneOf(['soft', 'hard'], {
    description: 'soft: from now on only a controller may post into it, and it may be reopened. hard: nobody ever again.',
    example: 'soft',
  })
  level!: 'soft' | 'hard';

  @Flag({ optional: true, description: 'Closes the earlier periods that are still in the way, too.', example: false })
  includeEarlier?: boolean;

  @Prose(500, { optional: true, description: 'Why: stands in every event of the command.' })
  reason?: string;
}

export class RequestReopeningBody {
  @Prose(500, { description: 'Why it has to be reopened.', example: 'Invoice 42 of June is missing' })
  reason!: string;
}

export class DecideReopeningBody {
  @Prose(500, { optional: true, description: 'Why: stands in the event.' })
  reason?: string;
}

export const closePeriod = (body: ClosePeriodBody, target: string): ClosePeriod => ({ ...body, ...periodAt(target), type: 'ClosePeriod' });
export const requestReopening = (body: RequestReopeningBody, target: string): ReopenPeriod => ({
  ...body,
  ...periodAt(target),
  type: 'RequestReopening',
});
export const approveReopening = (body: DecideReopeningBody, target: string): ReopenPeriod => ({
  ...body,
  ...periodAt(target),
  type: 'ApproveReopening',
});
export const declineReopening = (body: DecideReopeningBody, target: string): ReopenPeriod => ({
  ...body,
  ...periodAt(target),
  type: 'DeclineReopening',
});

export class ReopeningShown {
  @ApiProperty({ description: 'Opaque id of who asks for it; somebody else has to agree.' })
  requestedBy!: string;
}

export class PeriodChanged extends Recorded {
  @ApiProperty({ example: '2026' })
  fiscalYear!: string;

  @ApiProperty({ example: 6 })
  period!: number;

  @ApiProperty({ enum: ['open', 'soft_closed', 'hard_closed'] })
  status!: string;

  @ApiProperty({ required: false, type: () => ReopeningShown })
  reopening?: ReopeningShown;
}

export class PeriodsClosed extends PeriodChanged {
  @ApiProperty({ description: 'All that were closed, in order.', example: ['2026/5', '2026/6'] })
  closed!: readonly string[];
}
