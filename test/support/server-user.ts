/**
 * A process that uses an embedded server: `server-user.ts DIR [durable]` starts or adopts it and prints what it got as
 * JSON. A line on its standard input makes it let go and print what became of the server. Made to be killed.
 */
import { createInterface } from 'node:readline';
import { startEmbeddedPostgres } from '#postgres';

async function main(): Promise<void> {
  const [dir = '', mode] = process.argv.slice(2);
  const server = await startEmbeddedPostgres({ dir, durable: mode === 'durable' });
  console.log(JSON.stringify({ url: server.url, adopted: server.adopted, pid: server.pid }));
  for await (const _ of createInterface({ input: process.stdin })) {
    console.log(await server.stop());
    process.exit(0);
  }
}

void main();
