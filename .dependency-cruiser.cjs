/**
 * The layers of the architecture: apps → ledger, domain → event-store → postgres, and nothing back.
 *
 * Imports are followed to TypeScript sources (condition `source`). Without it `#ledger` would resolve into dist and every
 * rule below would hold silently; so a dependency in dist is an error of its own, and so is one that cannot be resolved.
 */
const spec = '\\.spec\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'resolvable',
      comment: 'an import that cannot be followed cannot be judged',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'never-through-dist',
      comment: 'sources import sources; through dist no rule would see the layers',
      severity: 'error',
      from: {},
      to: { path: '^dist/' },
    },
    {
      name: 'no-circle',
      comment: 'modules that need each other to load have no order to be read in; a circle of types alone is harmless',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'through-the-index',
      comment: "a library's index.ts is its only door",
      severity: 'error',
      from: { path: '^libs/([^/]+)/' },
      to: { path: '^libs/(?!$1/)[^/]+/src/(?!index\\.ts$)' },
    },
    {
      name: 'through-the-index-from-outside',
      severity: 'error',
      from: { path: '^(apps|bench|test)/' },
      to: { path: '^libs/[^/]+/src/(?!index\\.ts$)' },
    },
    {
      name: 'libs-know-no-apps',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^(apps|test|bench)/', pathNot: '^test/support/' },
    },
    {
      name: 'production-knows-no-tests',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: [spec, '/test/'] },
      to: { path: ['^(test|bench)/', spec] },
    },
    {
      name: 'apps-do-not-know-each-other',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/(?!$1/)' },
    },
    {
      name: 'apps-reach-ledger-and-domain',
      comment: 'storage is behind #ledger',
      severity: 'error',
      from: { path: '^apps/' },
      to: { path: '^libs/(?!ledger/|domain/)' },
    },
    {
      name: 'apps-speak-no-sql',
      severity: 'error',
      from: { path: '^apps/' },
      to: { path: '(^|/)node_modules/(pg|pg-[a-z-]+|kysely|@types/pg)/' },
    },
    {
      name: 'domain-imports-decimal-only',
      comment: 'pure: no framework, no I/O, no clock, no random',
      severity: 'error',
      from: { path: '^libs/domain/', pathNot: spec },
      to: { path: '.', pathNot: ['^libs/domain/', '(^|/)node_modules/decimal\\.js/'] },
    },
    {
      name: 'ledger-reaches-down-only',
      severity: 'error',
      from: { path: '^libs/ledger/' },
      to: { path: '^libs/(?!ledger/|domain/|event-store/|postgres/|privacy/)' },
    },
    {
      name: 'event-store-knows-no-accounting',
      severity: 'error',
      from: { path: '^libs/event-store/' },
      to: { path: '^libs/(?!event-store/|postgres/)' },
    },
    {
      name: 'privacy-knows-no-accounting',
      severity: 'error',
      from: { path: '^libs/privacy/' },
      to: { path: '^libs/(?!privacy/|postgres/)' },
    },
    {
      name: 'postgres-knows-no-library',
      severity: 'error',
      from: { path: '^libs/postgres/' },
      to: { path: '^libs/(?!postgres/)' },
    },
    {
      name: 'verifier-stands-alone',
      comment: 'an auditor runs these very files with nothing but Node, and they must not repeat an error of ours',
      severity: 'error',
      from: { path: '^packages/verifier/', pathNot: '/test/' },
      to: { pathNot: '^packages/verifier/[^/]+\\.mjs$', dependencyTypesNot: ['core'] },
    },
    {
      name: 'packages-and-the-service-do-not-know-each-other',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(apps|libs|bench|test)/' },
    },
    {
      name: 'the-service-and-packages-do-not-know-each-other',
      severity: 'error',
      from: { path: '^(apps|libs|bench)/' },
      to: { path: '^packages/' },
    },
    {
      name: 'no-development-package-in-production',
      comment: 'npm ci --omit=dev must leave a service that starts',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: [spec, '/test/'] },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm', 'type-only'], pathNot: '(^|/)node_modules/@types/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { conditionNames: ['source', 'node', 'require', 'default', 'types'], exportsFields: ['exports'] },
  },
};
