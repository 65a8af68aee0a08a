/**
 * Lets plain Node run our TypeScript sources, for specs that need a second process:
 * `node --conditions=source --require ./test/support/typescript.cjs script.ts` (spawnScript in processes.ts does it).
 * Compiles as Jest does, from jest.config.js, so that both see the same code and no build is needed.
 */
const { readFileSync } = require('node:fs');
const { transformSync } = require('@swc/core');
const { transform } = require('../../jest.config.js');

const [[, options]] = Object.values(transform);

require.extensions['.ts'] = (module, filename) => {
  const { code } = transformSync(readFileSync(filename, 'utf8'), { ...options, filename });
  module._compile(code, filename);
};
require('reflect-metadata');
