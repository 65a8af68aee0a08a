/**
 * The files in this repository that are generated from the code, and committed so that every change of them is seen in review.
 *
 * `script` is a built program that, given `args`, prints the file's content to stdout; `output` is where it belongs.
 *
 * @type {{ output: string, script: string, args?: string[] }[]}
 */
export const generators = [
  { output: 'docs/reference/openapi.json', script: 'dist/apps/api/src/openapi.js', args: ['openapi'] },
  { output: 'docs/reference/errors.md', script: 'dist/apps/api/src/openapi.js', args: ['errors'] },
  { output: 'docs/reference/configuration.md', script: 'dist/apps/api/src/openapi.js', args: ['configuration'] },
  { output: 'docs/reference/cli.md', script: 'dist/apps/cli/src/reference.js' },
];
