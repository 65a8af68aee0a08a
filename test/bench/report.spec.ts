/** Goals and guard are computed from ratios of one round, whatever the machine did between rounds. */
import { compareRatios, goalsOf, mediansOf, ratiosOf, reportOf, type Sample } from '../../bench/report';

const sample = (name: string, round: number, figures: Sample['figures']): Sample => ({ name, round, figures, group: 'write path' });

it('a goal is the median of the ratios within rounds, not the ratio of medians', () => {
  // The machine was twice as fast in the second round; the ratio was 10, 8 and 6.
  const rounds = [
    { speed: 1, ratio: 10 },
    { speed: 2, ratio: 8 },
    { speed: 1, ratio: 6 },
  ];
  const samples = rounds.flatMap(({ speed, ratio }, index) => [
    sample('uniform-1024', index + 1, { entriesPerSecond: speed * ratio * 1_000 }),
    sample('baseline-uniform-8', index + 1, { entriesPerSecond: speed * 900 }),
    sample('baseline-uniform-32', index + 1, { entriesPerSecond: speed * 1_000 }),
  ]);
  const goal = goalsOf(samples).find(({ goal: name }) => name.includes('row-lock baseline, uniform'));
  expect(goal).toMatchObject({ ratio: 8, held: true, aimReached: false });
});

it('a goal whose cases did not run is neither held nor missed', () => {
  const goals = goalsOf([sample('uniform-1024', 1, { ofCopy: 0.4 })]);
  expect(goals.find(({ goal }) => goal === 'events/s over COPY, uniform')).toMatchObject({ ratio: 0.4, held: false });
  expect(goals.filter(({ ratio }) => ratio !== undefined)).toHaveLength(1);
  expect(goals.find(({ ratio }) => ratio === undefined)?.held).toBeUndefined();
});

it('verify is held to events per second of one core, whatever the clock says', () => {
  const samples = [sample('verify-hot', 1, { eventsPerSecond: 70_000, eventsPerSecondPerCore: 110_000 })];
  const goals = goalsOf(samples).filter(({ goal }) => goal.startsWith('verify'));
  expect(goals.map(({ goal, held }) => [goal, held])).toEqual([
    ['verify, events/s per core, uniform', undefined],
    ['verify, events/s per core, hot', true],
    ['verify --hashes, events/s per core', undefined],
  ]);
});

it('where less is better, more than the bound is a miss', () => {
  const samples = (one: number) => [sample('uniform-1', 1, { p50Ms: one }), sample('commit', 1, { p50Ms: 0.25 })];
  const heldAt = (one: number) => goalsOf(samples(one)).find(({ goal }) => goal.startsWith('one caller'))?.held;
  expect([heldAt(1), heldAt(1.01)]).toEqual([true, false]);
});

it('the guard takes the best of several attempts and knows in which direction a ratio is better', () => {
  const recorded = { 'cpu per event over COPY, hot': 3, 'entries/s over row locks (8 callers), hot': 20 };
  const attempts = [
    { 'cpu per event over COPY, hot': 6, 'entries/s over row locks (8 callers), hot': 15 },
    { 'cpu per event over COPY, hot': 12, 'entries/s over row locks (8 callers), hot': 10 },
  ];
  expect(compareRatios(recorded, attempts).map(({ now, share }) => [now, share])).toEqual([
    [6, 0.5],
    [15, 0.75],
  ]);
});

it('ratios are recorded by the names that the guard compares, and only those that could be measured', () => {
  const samples = [
    sample('uniform-1024', 1, { cpuOverCopy: 3.5, entriesPerSecond: 10 }),
    sample('hot-1024', 1, { cpuOverCopy: Number.NaN }),
  ];
  expect(ratiosOf(samples)).toEqual({ 'cpu per event over COPY, uniform': 3.5 });
});

it('a report survives its JSON, also where a figure could not be had', () => {
  const samples = [sample('uniform-1024', 1, { entriesPerSecond: 12_345.6, serverMicrosPerEntry: Number.NaN })];
  const result = {
    ...{ schema: 1 as const, kind: 'selection' as const, startedAt: '2026-01-01T00:00:00.000Z', minutes: 1, commit: 'c', dirty: false },
    ...{ machine: {}, versions: {}, settings: {}, options: {}, ratios: {}, failures: ['hot-1, round 1: no'] },
    ...{ goals: goalsOf(samples), medians: mediansOf(samples), samples },
  };
  const report = reportOf(JSON.parse(JSON.stringify(result)));
  expect(report).toContain('| uniform-1024 | 12,346 |  |');
  expect(report).toContain('FAILED hot-1, round 1: no');
});
