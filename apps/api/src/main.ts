/**
 * The HTTP server as a process: reads the configuration, opens the service, listens, says on stdout how to talk to it, and
 * ends in the order that loses nothing. Logs go to stderr as JSON lines.
 */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type BootstrapKey, createLogger, openService, readConfig, type Service, untilSignal } from '#ledger';
import { createApp } from './app.module';
import { bindCheaply } from './bound-functions';

async function main(): Promise<void> {
  bindCheaply();
  const config = readConfig(process.env);
  const asked = untilSignal();
  const log = createLogger(config);
  const service = await openService(config, { log });
  let app: NestFastifyApplication | undefined;
  try {
    app = await createApp(service, log);
    await app.listen({ port: config.PORT, host: config.HOST });
    const { port } = app.getHttpServer().address() as { port: number };
    const host = config.HOST === '0.0.0.0' || config.HOST === '::' ? 'localhost' : config.HOST;
    process.stdout.write(await greeting(`http://${host.includes(':') ? `[${host}]` : host}:${port}`, service));
    await asked;
  } finally {
    // Stops accepting and finishes requests; only then may the queue drain, since requests wait for it.
    await app?.close();
    await service.close();
  }
}

async function greeting(url: string, service: Service): Promise<string> {
  const { database, bootstrapKey, release } = service;
  const { checks } = await service.readiness();
  const curl = `curl -H "Authorization: Bearer ${shellKey(bootstrapKey)}" ${url}/v1/books`;
  return [
    `book-keeper ${release}`,
    `  API       ${url}/v1/books`,
    `  Docs      ${url}/docs`,
    `  Ready     ${url}/health/ready`,
    `  Database  ${database}`,
    `  API key   ${keyLine(bootstrapKey)}`,
    ...checks.filter(({ ok }) => !ok).map(({ name, message }) => `  NOT READY (${name}): ${message}`),
    'Try it:',
    `  ${curl}`,
    '',
  ].join('\n');
}

function keyLine({ file, secret }: BootstrapKey): string {
  if (secret !== undefined) return `${secret} (shown this once; kept in ${file})`;
  return file === undefined ? 'the one in BOOTSTRAP_API_KEY' : `in ${file}`;
}

const shellKey = ({ file }: BootstrapKey): string => (file === undefined ? '$BOOTSTRAP_API_KEY' : `$(cat ${file})`);

main().catch((error: Error & { code?: string }) => {
  // A host with several addresses that all refuse has an error without a message.
  process.stderr.write(`book-keeper: ${error.message || error.code}\n`);
  process.exitCode = 1;
});
