/**
 * One Jest configuration for every spec: unit specs beside the code, integration specs in test/.
 *
 * It compiles TypeScript with SWC in memory and resolves `#library` imports to the libraries' sources (the `source`
 * condition of package.json), so no build is needed before a test. The database comes from test/support/global-setup.ts.
 */
const compiled = {
  swcrc: false,
  sourceMaps: 'inline',
  module: { type: 'commonjs' },
  jsc: {
    target: 'es2022',
    keepClassNames: true,
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
  },
};

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['source', 'node', 'node-addons'] },
  roots: ['<rootDir>'],
  testMatch: ['libs', 'apps', 'packages', 'test'].map((folder) => `<rootDir>/${folder}/**/*.spec.ts`),
  // A copy of the repository may stand in .data or dist; its package.json would collide with ours in the module map.
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.data/', '<rootDir>/coverage/', '<rootDir>/.cache/'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', compiled],
    // ES modules, which Node 20 requires as they are and Jest on Node 20 does not.
    // The modules of packages/ run as they are everywhere else; Jest's own module system needs CommonJS.
    '(/node_modules/hyparquet(-writer)?/.+\\.js|/packages/.+\\.mjs)$': [
      '@swc/jest',
      { ...compiled, jsc: { target: 'es2022', parser: { syntax: 'ecmascript' } } },
    ],
  },
  transformIgnorePatterns: ['/node_modules/(?!hyparquet)'],
  setupFiles: ['reflect-metadata'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  reporters: ['default', '<rootDir>/test/support/executed-tests.cjs'],
  // Jest would choose one worker on two cores; the specs wait for PostgreSQL most of the time.
  maxWorkers: 2,
  testTimeout: 60_000,
};
