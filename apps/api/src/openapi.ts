/**
 * Prints a generated reference to stdout, without a database: `openapi` (openapi.json), `errors` (errors.md) or
 * `configuration` (configuration.md). See tools/generators.mjs.
 */
import 'reflect-metadata';
import { type ErrorCode, errorTable } from '#domain';
import { settings, statusOf } from '#ledger';
import { previewDocument } from './app.module';

const references = { openapi, errors, configuration };

async function openapi(): Promise<string> {
  return `${JSON.stringify(await previewDocument(), undefined, 2)}\n`;
}

function errors(): string {
  const rows = Object.entries<{ kind: (typeof errorTable)[ErrorCode]['kind']; meaning: string; members?: readonly string[] }>(
    errorTable,
  ).map(
    ([code, { kind, meaning, members = [] }]) =>
      `| \`${code}\` | ${statusOf(kind)} | ${kind} | ${cell(meaning)} | ${members.map((member) => `\`${member}\``).join(', ')} |`,
  );
  return [
    '# Errors',
    '',
    'Generated from `libs/domain/src/errors.ts` by `npm run generate`; do not edit.',
    '',
    'Every refusal is a problem document (RFC 9457) with a stable `code`. When several codes apply to a request, the one that stands first here is',
    'told; only a body that is too large or too deep to be read is refused before the rest of it is looked at. Outcomes of deciding (`not_found`,',
    '`conflict`, `rejected`) are remembered under the idempotency key: a repeat gets them again. The others are not: repeat with the same key.',
    '',
    '| code | HTTP status | kind | when, and what to do | further members |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function configuration(): string {
  const rows = Object.entries<{ default: string; meaning: string; range?: readonly [number, number] }>(settings).map(
    ([name, { default: value, meaning, range }]) =>
      `| \`${name}\` | ${value === '' ? '' : `\`${value}\``} | ${range === undefined ? '' : range.join(' … ')} | ${cell(meaning)} |`,
  );
  return [
    '# Configuration',
    '',
    'Generated from `libs/ledger/src/config.ts` by `npm run generate`; do not edit.',
    '',
    'Environment variables, read and checked once at start; a wrong value stops the start with a list of what is wrong.',
    '',
    '| variable | default | range | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

async function main([name = 'openapi']: readonly string[]): Promise<void> {
  const print = references[name as keyof typeof references];
  if (print === undefined) throw new Error(`there is no reference ${name}, only ${Object.keys(references).join(', ')}`);
  process.stdout.write(await print());
}

main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
