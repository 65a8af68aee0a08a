/**
 * A synchronous standby of a durable server, on loopback, from the same binaries: a commit on the primary is acknowledged when
 * the standby has it on disk. The standby hears of the primary through a proxy, by which it can be cut off.
 *
 * The npm package holds no pg_basebackup, so the data directory is copied between pg_backup_start and pg_backup_stop
 * (https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '#postgres';
import type { DurableServer } from './database';
import { makeServerDirectory } from './server';
import { tcpProxy } from './tcp-proxy';

export interface Standby {
  /** The migrated database on the standby, as superuser; readable before it is promoted. */
  readonly adminUrl: string;
  /** The same as the login of the service. */
  readonly appUrl: string;
  /** From now on nothing of what the primary writes arrives. */
  cutOff(): void;
  /** Lets everything through again, and waits until the primary counts on the standby as before. */
  rejoin(): Promise<void>;
  /** Makes it the primary; for when the other one is gone. */
  promote(): Promise<void>;
  /** Ends the standby and removes its files. */
  destroy(): Promise<void>;
}

/** Whether a standby can be started here: the binaries are found by way of /proc. */
export const standbyRuns = process.platform === 'linux';

/** Copies the server, starts the copy as its standby and makes commits wait for it (two seconds). */
export async function synchronousStandby(primary: DurableServer): Promise<Standby> {
  const proxy = await tcpProxy(primary.adminUrl);
  const home = makeServerDirectory();
  fs.chmodSync(home, 0o711);
  const data = join(home, 'data');
  const source = primary.server.dataDirectory;
  const { uid, gid } = fs.statSync(source);
  const password = randomBytes(12).toString('hex');
  const admin = await connect(primary.adminUrl);
  await admin.query(`CREATE ROLE standby REPLICATION LOGIN PASSWORD '${password}'`);
  await admin.query("SELECT pg_backup_start('standby', true)");
  // Files may vanish and change while they are copied; what matters is written again from the log. That is streamed, not copied.
  execFileSync('sh', ['-c', 'cp -a "$0" "$1" 2>/dev/null || true', source, data]);
  for (const file of ['postmaster.pid', 'postmaster.opts']) fs.rmSync(join(data, file), { force: true });
  fs.rmSync(join(data, 'pg_wal'), { recursive: true });
  fs.mkdirSync(join(data, 'pg_wal'), { mode: 0o700 });
  const stopped = await admin.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
  fs.writeFileSync(join(data, 'backup_label'), stopped.rows[0]?.labelfile ?? '');
  fs.writeFileSync(join(data, 'standby.signal'), '');
  execFileSync('chown', ['-R', `${uid}:${gid}`, data]);

  const port = await freePort();
  const conninfo = `host=127.0.0.1 port=${new URL(proxy.url).port} user=standby password=${password} application_name=standby`;
  const settings = {
    ...{ listen_addresses: '127.0.0.1', port, unix_socket_directories: '', timezone: 'UTC', max_connections: 100 },
    ...{ primary_conninfo: conninfo, wal_retrieve_retry_interval: '100ms', wal_receiver_status_interval: '1s' },
  };
  const log = fs.openSync(join(home, 'server.log'), 'a');
  const child: ChildProcess = spawn(
    fs.readlinkSync(`/proc/${primary.server.pid}/exe`),
    ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    // PostgreSQL refuses root; who else starts it may not change users.
    {
      cwd: '/',
      stdio: ['ignore', log, log],
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
      ...(process.getuid?.() === 0 ? { uid, gid } : {}),
    },
  );
  fs.closeSync(log);
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const at = (url: string) => Object.assign(new URL(url), { port: String(port) }).href;
  const adminUrl = at(primary.adminUrl);

  const confirms = async (): Promise<void> => {
    // A connection of its own: the primary may have been started again since.
    const asking = await connect(primary.adminUrl);
    try {
      for (let tries = 0; tries < 600; tries++) {
        const { rows } = await asking.query(
          "SELECT FROM pg_stat_replication WHERE application_name = 'standby' AND state = 'streaming' AND sync_state = 'sync'",
        );
        if (rows.length === 1) return;
        if (child.exitCode !== null) break;
        await sleep(50);
      }
    } finally {
      await asking.end();
    }
    throw new Error(`the standby does not follow:\n${fs.readFileSync(join(home, 'server.log'), 'utf8').slice(-2_000)}`);
  };
  const destroy = async (): Promise<void> => {
    await proxy.close();
    child.kill('SIGQUIT');
    await ended;
    fs.rmSync(home, { recursive: true, force: true });
  };
  try {
    await admin.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    await admin.query('SELECT pg_reload_conf()');
    await admin.end();
    await confirms();
  } catch (error) {
    await destroy();
    throw error;
  }
  return {
    adminUrl,
    appUrl: at(primary.appUrl),
    cutOff: () => proxy.swallowAnswers(),
    async rejoin() {
      proxy.cut();
      await confirms();
    },
    async promote() {
      const own = await connect(adminUrl, { primary: false });
      await own.query('SELECT pg_promote(true, 30)');
      await own.end();
    },
    destroy,
  };
}

function freePort(): Promise<number> {
  return new Promise((found) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => found(port));
    });
  });
}
