/**
 * The bench. `npm run bench` measures everything in interleaved rounds against one server and writes JSON to bench/results;
 * `-- quick` the cases behind the goals, one short round; `-- NAME…` only cases whose names begin so (floors come with them);
 * `-- report [FILE]` prints the tables of a result, `-- readme [FILE]` puts them into README.md; `-- guard [FILE]` compares ratios with the last committed one. Options:
 * `--lines 1e7` adds as-of reads at that many lines, `--rounds N`, `--seconds N` per measuring window.
 */
import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { EmptyServer, LoadGenerator } from './http';
import { serveRole } from './processes';
import { Meter } from './rates';
import { printReport, writeReadme } from './report';
import { guard, measure } from './run';
import { Writer, type WriterOptions } from './writer';

const roles: Readonly<Record<string, (...given: never[]) => Promise<object>>> = {
  writer: async (options: WriterOptions) => new Writer(options),
  'load-generator': async () => new LoadGenerator(),
  'empty-server': () => EmptyServer.start(),
  meter: (url: string, directory: string, settings?: Readonly<Record<string, string>>) => Meter.open(url, directory, settings),
};

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { lines: { type: 'string' }, rounds: { type: 'string' }, seconds: { type: 'string' } },
  });
  const [verb = '', ...rest] = positionals;
  if (verb === 'role') return serveRole(roles[rest[0] ?? ''] as () => Promise<object>);
  if (verb === 'report') return printReport(rest[0]);
  if (verb === 'readme') return writeReadme(rest[0]);
  if (verb === 'guard') return guard(rest[0]);
  const quick = verb === 'quick';
  await measure({
    quick,
    names: quick ? rest : positionals,
    rounds: numberOf('rounds', values.rounds ?? (quick ? '1' : '3'), (rounds) => Number.isInteger(rounds) && rounds >= 1),
    seconds: numberOf('seconds', values.seconds ?? (quick ? '2' : '2.5'), (seconds) => seconds > 0),
    lines: numberOf('lines', values.lines ?? (quick ? '1e5' : '1e6'), (lines) => [1e5, 1e6, 1e7].includes(lines)),
  });
}

const ranges = { rounds: 'a whole number from 1 on', seconds: 'a number above 0', lines: '1e5, 1e6 or 1e7' };

function numberOf(option: keyof typeof ranges, text: string, allowed: (value: number) => boolean): number {
  const value = Number(text);
  if (!allowed(value)) throw new Error(`--${option} ${text}: it must be ${ranges[option]}`);
  return value;
}

main().catch((error: Error) => {
  console.error(process.env.DEBUG === undefined ? error.message : error);
  process.exit(1);
});
