// Interviews on the ways to a session's machine that are not the default one: carried by the gateway, and with the
// session in the host name.
import assert from 'node:assert/strict';
import { startSandbox } from './lib/own_sandbox.mjs';

// The address of a page's WebSocket names its session: interview-<id>.localhost is this machine to any Chromium.
const own = await startSandbox((port) => [
  '--questions', 3,
  '--min-part-bytes', 65_536,
  '--set', 'INTERVIEW__ROUTING__MODE=proxy_6pn',
  '--set', `INTERVIEW__HTTP__WEBSOCKET_URL=ws://interview-{session_id}.localhost:${port}/ws`,
]);
process.env.BASE_URL = own.url;
const { person, scene, shoot } = await import('./lib/browser.mjs');
const { sandbox } = await import('./lib/sandbox.mjs');
const { end, enter, interviewerHasSpoken, invite, live, oneTurn, settled } = await import('./lib/steps.mjs');
const { isWhole } = await import('./lib/truth.mjs');
const { openStage } = await import('./lib/stage.mjs');
const { eventually } = await import('./lib/wait.mjs');

const stage = openStage(own.stop);

const gatewayOf = async () => (await sandbox.state()).fly.machines.find((each) => each.name === 'gateway-1');

scene('carried by the gateway, which is replaced in the middle of it', { timeout: 240_000 }, async (t) => {
  const interview = { since: Date.now() - 1_000, name: 'Amara Okafor' };
  const candidate = await person(stage.browser, 'carried');
  const addresses = [];
  candidate.page.on('websocket', (socket) => addresses.push(socket.url()));
  interview.sessionId = await invite(stage.recruiter, interview.name);
  await enter(candidate, 'amara@demo.test', interview.sessionId);
  await oneTurn(candidate, 0);
  const form = new RegExp(`^ws://interview-${interview.sessionId}\\.localhost:\\d+/ws$`);
  assert.ok(addresses.length > 0 && addresses.every((address) => form.test(address)), `${addresses}`);

  const gateway = await gatewayOf();
  process.kill(gateway.pid, 'SIGTERM');
  const stoppedAt = Date.now();
  await eventually('another gateway process', async () => {
    const now = await gatewayOf();
    return now.state === 'started' && now.pid && now.pid !== gateway.pid;
  });
  await eventually('the page has a new socket', () => addresses.length >= 2);
  await live(candidate);
  await candidate.page.getByTestId('line').getByText('Connected').waitFor();
  t.diagnostic(`connected again ${Date.now() - stoppedAt} ms after the signal`);
  await shoot(candidate, '30-gateway-replaced');
  assert.equal(await interviewerHasSpoken(candidate, (await settled(candidate, 'ai')) - 1), 'your turn');
  await oneTurn(candidate, (await settled(candidate, 'ai')) - 1);
  await end(candidate);
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
  const { machines, calls } = await isWhole(t, interview);
  assert.deepEqual(machines.map((each) => each.restarts), [0], 'the session itself noticed nothing');
  assert.equal(calls.length, 1, 'the call went on');
});
