// A sandbox of its own, for a test that needs one with other settings.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './wait.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const place = (variable, fallback) => process.env[variable] ?? join(ROOT, fallback);

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** `flags` may depend on the port, as a function of it. */
export async function startSandbox(flags) {
  const data = await mkdtemp(join(tmpdir(), 'interview-sandbox-'));
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const logFile = join(ROOT, 'tests/e2e/out', `${basename(data)}.log`);
  await mkdir(dirname(logFile), { recursive: true });
  const log = createWriteStream(logFile);
  const child = spawn(
    place('SANDBOX_BIN', 'target/debug/interview-sandbox'),
    [
      'serve',
      ...['--port', port, '--data-dir', data],
      ...['--runtime', place('RUNTIME_BIN', 'target/debug/interview-runtime')],
      ...['--web-dir', place('WEB_DIST', 'web/dist'), '--seed', join(ROOT, 'config/sandbox_seed.sql')],
      ...['--plan', `${join(ROOT, 'config/plans/software_engineer.json')}=b0000000-0000-4000-8000-000000000001`],
      ...(typeof flags === 'function' ? flags(port) : flags),
    ].map(String),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  await eventually(
    'the sandbox starts',
    async () => {
      assert.equal(child.exitCode, null, `see ${logFile}`);
      return (await fetch(`${url}/healthz`)).ok;
    },
    { timeoutMs: 60_000 },
  );
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
      await rm(data, { recursive: true, force: true });
    },
  };
}
