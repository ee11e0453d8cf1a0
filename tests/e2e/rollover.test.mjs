// The provider ends every call after an hour. Here it is a minute, so that a conversation meets the end of a call.
import assert from 'node:assert/strict';
import { startSandbox } from './lib/own_sandbox.mjs';

// Each call is asked to be renewed after half a minute.
const own = await startSandbox(['--questions', 5, '--longest-call-s', 60, '--set', 'INTERVIEW__OPENAI__ROLL_OVER_BEFORE_S=28']);
process.env.BASE_URL = own.url;
const { person, scene, shoot } = await import('./lib/browser.mjs');
const { sandbox } = await import('./lib/sandbox.mjs');
const { end, enter, interviewerHasSpoken, invite, live, oneTurn, settled } = await import('./lib/steps.mjs');
const { callsOf, isWhole } = await import('./lib/truth.mjs');
const { openStage } = await import('./lib/stage.mjs');
const { eventually } = await import('./lib/wait.mjs');

const stage = openStage(own.stop);

scene('a call is renewed before it reaches its limit, and after it was ended by it', { timeout: 240_000 }, async (t) => {
  const interview = { since: Date.now() - 1_000, name: 'Amara Okafor' };
  const candidate = await person(stage.browser, 'rollover');
  interview.sessionId = await invite(stage.recruiter, interview.name);
  await enter(candidate, 'amara@demo.test', interview.sessionId);
  const [first] = await callsOf(interview);
  await oneTurn(candidate, 0);

  // The offer is held back for a while, so that the words for it are seen.
  await candidate.page.evaluate(() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
      const offer = typeof data === 'string' && data.includes('"sdp_offer"');
      if (offer) WebSocket.prototype.send = send;
      setTimeout(() => send.call(this, data), offer ? 3_500 : 0);
    };
  });
  const shown = candidate.page.locator('[data-testid="line-lost"][data-shown="lost"]');
  await shown.getByText('The call is being renewed').waitFor({ timeout: 60_000 });
  await shoot(candidate, '29-rollover', { all: true });
  await live(candidate);
  const [ended, second] = await eventually('a second call', async () => {
    const calls = await callsOf(interview);
    return calls.length === 2 && !calls[0].alive ? calls : null;
  });
  assert.equal(ended.call_id, first.call_id);
  assert.notEqual(ended.end_reason, 'expired', 'it was renewed before its limit');
  const cut = ended.items.filter((item) => item.role === 'assistant' && item.status !== 'completed');
  assert.deepEqual(cut, [], 'nobody was cut short');

  // And one that is over all at once.
  assert.equal(await interviewerHasSpoken(candidate, (await settled(candidate, 'ai')) - 1), 'your turn');
  assert.equal(await sandbox.inject('expire_call', second.call_id), 1);
  await eventually('a third call', async () => (await callsOf(interview)).filter((call) => call.alive).length === 1 && (await callsOf(interview)).length >= 3);
  await live(candidate);
  await oneTurn(candidate, (await settled(candidate, 'ai')) - 1);
  await end(candidate);
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
  await isWhole(t, interview);
});
