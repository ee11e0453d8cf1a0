// Figures of one session process as it ships, beside what a machine can do at best, in one run.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

const BINARY = 'target/release/interview-runtime';
const LOADGEN = process.env.LOADGEN; // the load generator's binary, if there is one
const MINRS = process.env.MINRS; // the floor it is held against
const PORT = 20_000 + Math.floor(Math.random() * 20_000);
const BASE = `http://localhost:${PORT}`;
const data = mkdtempSync(join(tmpdir(), 'interview-bench-'));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value) => Math.round(value * 100) / 100;

async function until(what, condition, limit = 60_000, pause = 50) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await condition().catch(() => null);
    if (value) return value;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    if (pause) await sleep(pause);
  }
}

const sandbox = spawn('target/release/interview-sandbox', [
  'serve', '--port', String(PORT), '--data-dir', data, '--runtime', BINARY, '--seed', 'config/sandbox_seed.sql',
], { stdio: 'ignore' });
const started = [];
try {
  await until('the sandbox is up', async () => (await fetch(`${BASE}/healthz`)).ok);
  const config = await (await fetch(`${BASE}/api/config`)).json();
  const token = (await (await fetch(`${config.supabase.url}/auth/v1/token?grant_type=password`, {
    method: 'POST', headers: { apikey: config.supabase.publishable_key, 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'recruiter@demo.test', password: 'interview' }),
  })).json()).access_token;
  const api = async (path, body) => (await fetch(`${BASE}${path}`, {
    method: body ? 'POST' : 'GET', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
  })).json();
  const made = await api('/api/sessions', { candidate_id: 'ca000000-0000-4000-8000-000000000011', position_id: 'b0000000-0000-4000-8000-000000000001', settings: {} });
  const id = made.session_id;
  await until('the session is ready', async () => (await api(`/api/sessions/${id}`)).phase === 'ready');

  // The environment of the machine, for processes of our own on the same session.
  const pid = spawnSync('pgrep', ['-f', `${BINARY} session`], { encoding: 'utf8' }).stdout.trim().split('\n')[0];
  const env = Object.fromEntries(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  const run = (port) => {
    const child = spawn(BINARY, ['session'], { env: { ...env, INTERVIEW__HTTP__BIND: `127.0.0.1:${port}`, INTERVIEW__SOCKET__FRAMES_PER_S: '1000000', INTERVIEW__SOCKET__FRAMES_BURST: '1000000', INTERVIEW__LIMITS__SHOWN_TICKETS_BURST: '1000000' }, stdio: 'ignore' });
    started.push(child);
    return child;
  };
  const ready = (port) => until('ready', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, 20_000, 0);

  const starts = [], floors = [];
  for (let n = 0; n < 15; n += 1) {
    let at = performance.now();
    spawnSync('/bin/true');
    floors.push(performance.now() - at);
    const port = 10_000 + n;
    at = performance.now();
    const child = run(port);
    await ready(port);
    starts.push(performance.now() - at);
    if (n < 14) { const gone = new Promise((done) => child.once('exit', done)); child.kill('SIGTERM'); await gone; }
  }
  console.log(`start to ready, claimed in the database: median ${round(median(starts))} ms (min ${round(Math.min(...starts))}, max ${round(Math.max(...starts))}); /bin/true ${round(median(floors))} ms`);
  await sleep(3_000);
  const idle = started.at(-1);
  const status = readFileSync(`/proc/${idle.pid}/status`, 'utf8');
  console.log(`idle memory: ${/VmRSS:\s+(\d+) kB/.exec(status)[1] / 1024 | 0} MiB RSS, ${readFileSync(`/proc/${idle.pid}/smaps_rollup`, 'utf8').match(/Pss:\s+(\d+)/)[1] / 1024 | 0} MiB PSS`);
  console.log(`release binary: ${round(statSync(BINARY).size / 1e6)} MB`);

} finally {
  for (const child of started) child.kill('SIGKILL');
  const gone = new Promise((done) => sandbox.once('exit', done));
  sandbox.kill('SIGTERM');
  await gone;
  rmSync(data, { recursive: true, force: true });
}

// ---- the SDP hop, and acknowledgements of many sockets, beside their floors ----
const bench = (process.env.BENCH_BINARY ?? '').trim();
for (const sockets of [1, 50, 500]) {
  const child = spawn(bench, [String(sockets)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const line = await new Promise((done, fail) => {
    let text = '';
    child.stdout.on('data', (chunk) => { text += chunk; if (text.includes('\n')) done(text); });
    child.once('exit', (code) => fail(new Error(`the bench process ended with ${code}`)));
  });
  const { address, database_url: database, sdp_hop_median: hop } = JSON.parse(line);
  if (sockets === 1) console.log(`SDP hop, median of ${hop.rounds}: ${hop.session_us} µs through the session, ${hop.bare_forwarder_us} µs through a bare axum and reqwest forwarder`);
  if (LOADGEN && existsSync(LOADGEN)) {
    const common = ['--conns', String(sockets), '--entries', '2', '--text-len', '160', '--duration', '4', '--warmup', '1'];
    const ours = spawnSync(LOADGEN, [...common, '--url', `ws://${address}/s/{i}/ws`, '--hello', '{"type":"authenticate","ticket":"bench-{i}"}',
      '--ready-contains', '"session_ready"', '--seq-key', 'seq', '--ack-seq-ptr', '/seq', '--label', `session ${sockets}`], { encoding: 'utf8' });
    console.log(`${sockets} sockets, session: ${ours.stdout.trim() || ours.stderr.trim()}`);
    if (MINRS && existsSync(MINRS)) {
      const port = 10_100 + sockets;
      const floor = spawn(MINRS, [], { env: { ...process.env, PORT: String(port), DATABASE_URL: database, MODE: 'batch', POOL: '10', THREADS: '1' }, stdio: 'ignore' });
      const load = spawnSync(LOADGEN, [...common, '--url', `ws://127.0.0.1:${port}/ws?session={uuid}`, '--connect-retry-ms', '5000', '--ack-seq-ptr', '/seq', '--label', `minrs ${sockets}`], { encoding: 'utf8' });
      console.log(`${sockets} sockets, floor: ${load.stdout.trim() || load.stderr.trim()}`);
      floor.kill('SIGKILL');
    }
  }
  const gone = new Promise((done) => child.once('exit', done));
  child.stdin.end();
  await gone;
}
if (!LOADGEN) console.log('notice: LOADGEN is not set, the acknowledgement figures are skipped');
