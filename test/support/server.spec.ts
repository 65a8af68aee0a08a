/** The probe for a Docker engine, against a socket that answers as an engine would, or otherwise. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dockerAnswers } from './server';

describe('dockerAnswers', () => {
  let dir: string;
  let server: Server | undefined;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'docker-probe-'));
  });
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    server = undefined;
    rmSync(dir, { recursive: true });
  });

  const socket = () => join(dir, 'docker.sock');
  const listen = async (listener: RequestListener, where: string | number) => {
    const started = createServer(listener);
    server = started;
    await new Promise<void>((done) => {
      if (typeof where === 'number') started.listen(where, '127.0.0.1', done);
      else started.listen(where, done);
    });
    return started;
  };

  it('is true where GET /_ping answers 200 on the socket', async () => {
    const asked: string[] = [];
    await listen((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end('OK');
    }, socket());
    await expect(dockerAnswers(`unix://${socket()}`)).resolves.toBe(true);
    expect(asked).toEqual(['GET /_ping']);
  });

  it('is true over TCP', async () => {
    const started = await listen((_, response) => response.end('OK'), 0);
    await expect(dockerAnswers(`tcp://127.0.0.1:${(started.address() as { port: number }).port}`)).resolves.toBe(true);
  });

  it('is false where the engine is broken, and where it does not answer in time', async () => {
    await listen((_, response) => response.writeHead(500).end(), socket());
    await expect(dockerAnswers(`unix://${socket()}`)).resolves.toBe(false);
    server?.close();
    rmSync(socket(), { force: true });
    await listen(() => {}, socket());
    const started = performance.now();
    await expect(dockerAnswers(`unix://${socket()}`, 100)).resolves.toBe(false);
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  it.each(['unix:///nowhere/docker.sock', 'ssh://user@host', 'npipe:////./pipe/docker_engine', ''])('is false for %p', async (host) => {
    await expect(dockerAnswers(host)).resolves.toBe(false);
  });
});
