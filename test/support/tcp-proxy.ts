/** A TCP proxy in front of a server, to lose what the server answers: the cut after COMMIT that no caller can see. */
import { connect as connectTo, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  /** The same database, or the same HTTP server, through the proxy. */
  readonly url: string;
  /**
   * From now on answers are dropped; what is sent still arrives.
   * @param from the first answer to be dropped: the one that holds `text` for the `nth` time from now on
   */
  swallowAnswers(from?: { readonly text: string; readonly nth: number }): void;
  /** Ends every connection and lets new ones through again. */
  cut(): void;
  close(): Promise<void>;
}

export async function tcpProxy(url: string): Promise<TcpProxy> {
  const target = new URL(url);
  const pairs = new Set<[Socket, Socket]>();
  let swallowing = false;
  let awaited: { readonly text: string; left: number } | undefined;
  const server = createServer((near) => {
    const far = connectTo(Number(target.port || 5432), target.hostname);
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    const end = (): void => {
      near.destroy();
      far.destroy();
      pairs.delete(pair);
    };
    near.on('error', end).on('close', end);
    far.on('error', end).on('close', end);
    near.pipe(far);
    far.on('data', (data) => {
      if (awaited !== undefined && data.includes(awaited.text) && --awaited.left === 0) swallowing = true;
      if (!swallowing) near.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const proxied = new URL(url);
  proxied.hostname = '127.0.0.1';
  proxied.port = String(typeof address === 'object' ? address?.port : '');
  const cut = (): void => {
    for (const [near, far] of pairs) {
      near.destroy();
      far.destroy();
    }
    pairs.clear();
    swallowing = false;
    awaited = undefined;
  };
  return {
    url: proxied.href.replace(/\/$/, ''),
    swallowAnswers(from) {
      if (from === undefined) swallowing = true;
      else awaited = { text: from.text, left: from.nth };
    },
    cut,
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
