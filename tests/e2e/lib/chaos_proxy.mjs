// A TCP proxy between a browser and the sandbox, whose cable can be pulled. A pulled cable is silent, as a real
// one: nobody is told, nothing is refused, bytes wait. When it is plugged in again, what waited goes on its way.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export async function chaosProxy(targetPort) {
  const lines = new Set();
  let plugged = true;
  const waiting = [];
  const counted = { connections: 0, heldBack: 0 };

  const join = (client) => {
    const upstream = connect(targetPort, '127.0.0.1');
    const line = [client, upstream];
    lines.add(line);
    client.pipe(upstream);
    upstream.pipe(client);
    for (const [one, other] of [line, [upstream, client]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => {
        lines.delete(line);
        other.destroy();
      });
    }
  };

  const server = createServer({ noDelay: true }, (client) => {
    counted.connections += 1;
    client.on('error', () => undefined);
    if (plugged) return join(client);
    counted.heldBack += 1;
    client.pause();
    waiting.push(client);
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: server.address().port,
    counted,
    pull() {
      plugged = false;
      for (const [client, upstream] of lines) {
        for (const end of [client, upstream]) {
          end.unpipe();
          end.pause();
        }
      }
    },
    plugIn() {
      plugged = true;
      for (const [client, upstream] of lines) {
        client.pipe(upstream);
        upstream.pipe(client);
      }
      for (const client of waiting.splice(0)) if (!client.destroyed) join(client);
    },
    async close() {
      for (const line of lines) for (const end of line) end.destroy();
      for (const client of waiting) client.destroy();
      server.close();
    },
  };
}
