/**
 * Configuration: everything that can be set from the environment, each with a default, read and checked once at start.
 * Guarantees that a wrong value stops the start with a list of what is wrong, and that the reference
 * (docs/reference/configuration.md) is generated from the same table.
 */
import { isIP } from 'node:net';
import { archivePlace } from '#event-store';
import { logNameForm } from './proof/signer';
import { checkpointTargets as readTargets } from './proof/targets';
import { readWitnesses } from './proof/witnesses';

interface Setting {
  readonly default: string;
  readonly meaning: string;
  /** Allowed range of a number, inclusive; absent for text. */
  readonly range?: readonly [min: number, max: number];
}

const declare = <T extends Record<string, Setting>>(settings: T): T => settings;

/** Every environment variable that the service reads, but for the AWS_… ones that CHECKPOINT_BUCKET's target takes (OPERATIONS.md). */
export const settings = declare({
  PORT: { default: '3000', range: [0, 65535], meaning: 'Port of the HTTP server; 0 takes a free one.' },
  HOST: { default: '127.0.0.1', meaning: 'Address that the HTTP server listens on; 0.0.0.0 for all.' },
  DATABASE_URL: { default: '', meaning: 'PostgreSQL 15 to 18, as the login of the service. Empty: an embedded server in DATA_DIR.' },
  MIGRATION_DATABASE_URL: {
    default: '',
    meaning: 'The same database as a login that may create roles and schemas; used at start only, then closed. Empty: DATABASE_URL.',
  },
  DATA_DIR: {
    default: '.data',
    meaning:
      'Directory for the embedded server, generated keys, the name of the logs and, unless CHECKPOINT_DIR says otherwise, checkpoints.',
  },
  BOOTSTRAP_API_KEY: {
    default: '',
    meaning:
      "The first administrator's API key. Empty: one is generated at first start, printed once and kept in DATA_DIR/bootstrap-api-key (mode 0600).",
  },
  DEMO_BOOK: { default: 'auto', meaning: 'auto: a small book `demo` is created when the embedded database is new; off: never.' },
  LOG_LEVEL: { default: 'info', meaning: 'fatal, error, warn, info, debug, trace or silent.' },
  READ_WAIT_MS: {
    default: '2000',
    range: [0, 60_000],
    meaning:
      'Milliseconds that a list, report or proof waits for its projection or checkpoint before it answers 503 projection_behind or not_sealed.',
  },
  STATE_CACHE_MB: {
    default: '256',
    range: [1, 65_536],
    meaning: 'Memory for account states on the write path; least recently used ones are dropped.',
  },
  WRITER_CONNECTIONS: { default: '4', range: [1, 64], meaning: 'Connections that append; one serves one book at a time.' },
  READER_CONNECTIONS: { default: '8', range: [1, 256], meaning: 'Connections for queries and projections.' },
  QUEUE_PER_BOOK: { default: '10000', range: [1, 1_000_000], meaning: 'Commands that may wait per book before 429 queue_full.' },
  QUEUE_TOTAL: { default: '50000', range: [1, 10_000_000], meaning: 'Commands that may wait in the process before 429 queue_full.' },
  QUEUE_MB: {
    default: '64',
    range: [1, 65_536],
    meaning:
      'Size of the commands that may wait in the process, as JSON text; in memory they take several times as much. A book may take as much as it leaves free, so half of it when alone; beyond that 429 queue_full.',
  },
  COMMAND_DEADLINE_MS: {
    default: '30000',
    range: [100, 600_000],
    meaning:
      'Milliseconds after which a command that cannot reach the database is answered 503; it may have been carried out, so repeat it with the same key.',
  },
  ENTRIES_PER_BATCH: { default: '1000', range: [1, 100_000], meaning: 'Entries in one batch call.' },
  LINES_PER_ENTRY: { default: '1000', range: [2, 100_000], meaning: 'Lines of one entry.' },
  ENTRY_BYTES: { default: '1048576', range: [1024, 67_108_864], meaning: 'Bytes of one entry.' },
  BATCH_BYTES: { default: '33554432', range: [1024, 1_073_741_824], meaning: 'Bytes of one batch call.' },
  METRICS_ACCESS: {
    default: 'key',
    meaning:
      'key: /metrics needs an API key like everything else; open: anyone who reaches the port may read it, as scrapers without credentials need.',
  },
  ACTIONS: {
    default: 'reports',
    meaning:
      'What is recorded in the logs of user actions before it is answered. reports: every command, every report, statement, list of balances or entries and export, every failed login and denied action; all: every other read too; off: nothing.',
  },
  ACTIONS_DEADLINE_MS: {
    default: '5000',
    range: [100, 600_000],
    meaning: 'Milliseconds after which what cannot be recorded in the log of user actions is answered 503 actions_unavailable.',
  },
  TRUST_PROXY: {
    default: 'off',
    meaning:
      'Whose X-Forwarded-For is believed. off: nobody; a number: so many proxies in front of the service; addresses and networks with commas between: these (10.0.0.0/8,::1, or loopback, linklocal, uniquelocal).',
  },
  BODIES_MB: {
    default: '64',
    range: [1, 65_536],
    meaning:
      'Size of the request bodies that may be read or wait at one time; a book may take as much as it leaves free, so half of it when alone; beyond that 429 queue_full.',
  },
  HTTP_CONNECTIONS: { default: '10000', range: [1, 1_000_000], meaning: 'Connections to the HTTP server; more are closed at once.' },
  PROJECT: { default: 'inline', meaning: 'inline: this process folds projections; off: another one (the worker) does.' },
  SEAL: {
    default: 'inline',
    meaning: 'inline: this process seals the logs of books into their Merkle trees and signs checkpoints; off: another one does.',
  },
  LOG_NAME: {
    default: '',
    meaning:
      "What the names of this installation's logs begin with, such as books.example.com/ledger; stands in every checkpoint. Empty: one is generated. Fixed with the first checkpoint.",
  },
  ARCHIVE_URL: {
    default: '',
    meaning:
      'Where cold storage is, for what is moved there and for reading it: a directory, or an S3-compatible bucket, s3://BUCKET/PREFIX?endpoint=https://…&region=…, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Empty: none. Once events are there, every process that reads the log needs it.',
  },
  ARCHIVE: {
    default: 'off',
    meaning:
      'inline: this process moves events that may go to cold storage, with a look every hour; off: none are moved but by book-keeper archive.',
  },
  ARCHIVE_AFTER_DAYS: {
    default: '365',
    range: [0, 36_500],
    meaning: 'Days after which events may be moved to cold storage, where their periods are closed for ever.',
  },
  ARCHIVE_FILE_TILES: {
    default: '256',
    range: [1, 256],
    meaning: 'Tiles (of 256 events) that one file of cold storage holds at most; a file ends earlier where entries are large.',
  },
  ARCHIVER_DATABASE_URL: {
    default: '',
    meaning:
      'The same database as a login that is a member of book_keeper_archiver, which the login of the service must not be; used only to take out events that are in cold storage. The embedded server has its own.',
  },
  SIGNING_KEY_FILE: {
    default: '',
    meaning:
      'File of the Ed25519 key that signs checkpoints (PEM, PKCS #8). Empty: DATA_DIR/signing-key.pem, generated at first start (mode 0600).',
  },
  SIGNING_COMMAND: {
    default: '',
    meaning:
      'A program that signs instead of the key in a file, for keys in an HSM or KMS: called with `public-key` it prints 32 bytes, with `sign` it reads a message and prints its Ed25519 signature (RFC 8032), each as base64. Its public key takes part in the rotation of keys.',
  },
  CHECKPOINT_MS: { default: '1000', range: [10, 86_400_000], meaning: 'Milliseconds between signed checkpoints while books move.' },
  CHECKPOINT_PUBLISH_MS: {
    default: '10000',
    range: [10, 86_400_000],
    meaning: 'Milliseconds between hand-outs of the newest checkpoints to directory, webhook, bucket and witnesses.',
  },
  CHECKPOINT_DIR: {
    default: '',
    meaning:
      'Directory that checkpoints are handed out to, one that is not restored together with the database. Empty: DATA_DIR/checkpoints; off: none. At start the books are held against what stands there.',
  },
  CHECKPOINT_WEBHOOK: { default: '', meaning: 'URL that each checkpoint handed out is posted to, as text. Empty: none.' },
  CHECKPOINT_BUCKET: {
    default: '',
    meaning:
      'S3-compatible bucket for checkpoints, s3://BUCKET/PREFIX?endpoint=https://…&region=…, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Empty: none. At start the books are held against what stands there.',
  },
  CHECKPOINT_RETENTION_DAYS: {
    default: '0',
    range: [0, 36_500],
    meaning: 'Days for which a checkpoint in the bucket is locked (S3 Object Lock, compliance mode); 0: as the bucket has it.',
  },
  MASTER_KEY: {
    default: '',
    meaning:
      'The master key that wraps the keys of persons: NUMBER:BASE64 (32 bytes), several with commas between while one takes the place of another; the highest number wraps. Empty: MASTER_KEY_FILE, or MASTER_KEY_COMMAND.',
  },
  MASTER_KEY_FILE: {
    default: '',
    meaning:
      'File of master keys, one NUMBER:BASE64 a line. Empty: DATA_DIR/master-key, made at first need (mode 0600). Keep a copy apart from the database: without it no personal data can be read.',
  },
  MASTER_KEY_COMMAND: {
    default: '',
    meaning:
      'A program that wraps and unwraps instead, for a KMS: called with `wrap` or `unwrap`, JSON on stdin and stdout (libs/privacy/README.md).',
  },
  RETENTION: {
    default: 'auto',
    meaning:
      'auto: keys of persons are destroyed when the duty to keep what they open has ended, and again where a backup brought them back; off: only the latter.',
  },
  RETENTION_MS: {
    default: '3600000',
    range: [100, 86_400_000],
    meaning: 'Milliseconds between looks for duties that have ended.',
  },
  WITNESSES: {
    default: '',
    meaning:
      'Witnesses that co-sign checkpoints (C2SP tlog-witness): pairs of URL and key (name+hash+key) with a blank between, several with commas between.',
  },
});

export type SettingName = keyof typeof settings;
type NumberName = { [K in SettingName]: (typeof settings)[K] extends { range: readonly number[] } ? K : never }[SettingName];

/** The settings in force: numbers where a range is declared, else text. */
export type Config = { readonly [K in SettingName]: K extends NumberName ? number : string };

/** Everybody (`true` elsewhere) is no choice: whoever sends the header would then write the address. */
function isProxyTrust(text: string): boolean {
  if (text === 'off') return true;
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= 16;
  return text.split(',').every((part) => {
    const [address = '', bits, ...rest] = part.trim().split('/');
    if (['loopback', 'linklocal', 'uniquelocal'].includes(part.trim())) return true;
    const family = isIP(address);
    return (
      family !== 0 &&
      rest.length === 0 &&
      (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (family === 4 ? 32 : 128)))
    );
  });
}

/**
 * @param environment usually process.env
 * @throws Error naming every variable that is wrong, what it was and what it may be
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = [];
  const config: Record<string, string | number> = {};
  for (const [name, setting] of Object.entries<Setting>(settings)) {
    const text = environment[name] ?? setting.default;
    config[name] = setting.range === undefined ? text : Number(text);
    if (setting.range === undefined) continue;
    const [min, max] = setting.range;
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max)
      problems.push(`${name}=${text}: a whole number from ${min} to ${max}`);
  }
  const oneOf = (name: SettingName, ...allowed: string[]): void => {
    if (!allowed.includes(String(config[name]))) problems.push(`${name}=${config[name]}: one of ${allowed.join(', ')}`);
  };
  oneOf('DEMO_BOOK', 'auto', 'off');
  oneOf('PROJECT', 'inline', 'off');
  oneOf('SEAL', 'inline', 'off');
  oneOf('ARCHIVE', 'inline', 'off');
  if (config.ARCHIVE === 'inline' && config.ARCHIVE_URL === '') problems.push('ARCHIVE=inline: ARCHIVE_URL says where to');
  if (config.LOG_NAME !== '' && (!logNameForm.test(String(config.LOG_NAME)) || String(config.LOG_NAME).length > 100))
    problems.push(
      `LOG_NAME=${config.LOG_NAME}: up to 100 letters, digits, points and hyphens, in parts with slashes between, such as books.example.com/ledger`,
    );
  for (const check of [
    () => readWitnesses(String(config.WITNESSES)),
    () => readTargets(config as Config),
    () => archivePlace(String(config.ARCHIVE_URL)),
  ]) {
    try {
      check();
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  oneOf('METRICS_ACCESS', 'key', 'open');
  oneOf('RETENTION', 'auto', 'off');
  oneOf('ACTIONS', 'reports', 'all', 'off');
  if (!isProxyTrust(String(config.TRUST_PROXY)))
    problems.push(`TRUST_PROXY=${config.TRUST_PROXY}: off, a number of proxies from 1 to 16, or addresses with commas between`);
  oneOf('LOG_LEVEL', 'fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent');
  if (problems.length > 0) throw new Error(`the configuration is wrong:\n  ${problems.join('\n  ')}`);
  return config as Config;
}
