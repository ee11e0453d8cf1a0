// What an interview survives: each test breaks one thing in the middle of a conversation, in a real browser with a
// real call, and then compares what is stored with what was said.
import assert from 'node:assert/strict';
import { BASE_URL, launch, person, scene, shoot } from './lib/browser.mjs';
import { chaosProxy } from './lib/chaos_proxy.mjs';
import { receivedAudio } from './lib/fake_microphone.mjs';
import { sandbox } from './lib/sandbox.mjs';
import {
  answer,
  checkDevices,
  comeBack,
  end,
  enter,
  interviewerHasSpoken,
  invite,
  live,
  mood,
  oneTurn,
  roomUrl,
  settled,
} from './lib/steps.mjs';
import { callsOf, isWhole, machinesOf } from './lib/truth.mjs';
import { openStage } from './lib/stage.mjs';
import { eventually } from './lib/wait.mjs';

const stage = openStage();

const cover = ({ page }, shown) => page.locator(`[data-testid="line-lost"][data-shown="${shown}"]`);
const line = ({ page }, words) => page.getByTestId('line').getByText(words);

/** A process that has taken the interview up hears the call that goes on. */
const listensTo = (interview) =>
  eventually(
    'the call is listened to',
    async () => (await callsOf(interview)).some((call) => call.alive && call.sidebands > 0),
    { timeoutMs: 60_000, everyMs: 50 },
  );

/** So far that the candidate was heard once and the next question is being asked. */
async function begun(candidate, email, name) {
  const since = Date.now() - 1_000;
  const sessionId = await invite(stage.recruiter, name);
  await enter(candidate, email, sessionId);
  await oneTurn(candidate, 0);
  return { sessionId, since, name };
}

scene('a reload in the middle of a sentence', { timeout: 180_000 }, async (t) => {
  const candidate = await person(stage.browser, 'reload', { viewport: { width: 390, height: 844 } });
  const interview = await begun(candidate, 'jonas@demo.test', 'Jonas Weber');
  await eventually('the next question is on its way', async () => (await mood(candidate)) === 'speaking');
  await candidate.page.waitForFunction(() => document.querySelectorAll('[data-testid="caption-ai"]').length >= 2);

  await candidate.page.reload();
  await candidate.page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  await shoot(candidate, '20-after-reload');
  await comeBack(candidate);
  await candidate.page.getByTestId('recording-notice').getByText('The recording goes on').waitFor();
  await candidate.page.getByTestId('recording-indicator').getByText('Recording again').waitFor();
  await shoot(candidate, '21-records-again', { all: true });

  // Again, while the candidate speaks.
  const said = await settled(candidate, 'ai');
  assert.equal(await interviewerHasSpoken(candidate, said - 1, 60_000), 'your turn');
  await candidate.page.evaluate(() => void window.__say(5_000));
  await eventually('the candidate is heard', async () => (await mood(candidate)) === 'listening');
  await candidate.page.reload();
  await comeBack(candidate);
  await oneTurn(candidate, (await settled(candidate, 'ai')) - 1);
  await end(candidate);
  await shoot(candidate, '22-ended-by-candidate');
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
  await isWhole(t, interview, { takes: 3 });

  await stage.recruiter.page.goto(`${BASE_URL}/#/console/sessions/${interview.sessionId}`);
  await stage.recruiter.page.locator('[data-testid="recording"] video').waitFor({ timeout: 30_000 });
  assert.equal(await stage.recruiter.page.getByTestId('take').count(), 3, 'the takes can be chosen');
  await shoot(stage.recruiter, '23-takes', { all: true });
  const first = await stage.recruiter.page.locator('[data-testid="recording"] video').getAttribute('src');
  await stage.recruiter.page.getByTestId('take').nth(1).click();
  const played = await stage.recruiter.page.locator('[data-testid="recording"] video').evaluate(async (video) => {
    video.muted = true;
    await video.play();
    await new Promise((resolve) => video.addEventListener('timeupdate', () => video.currentTime > 0.2 && resolve()));
    return { src: video.getAttribute('src'), at: video.currentTime };
  });
  assert.ok(played.at > 0.2 && played.src !== first);
});

scene('no network for thirty seconds', { timeout: 240_000 }, async (t) => {
  const proxy = await chaosProxy(Number(new URL(BASE_URL).port || 80));
  const far = await launch({ through: proxy.port });
  try {
    const candidate = await person(far, 'network');
    const interview = await begun(candidate, 'mei@demo.test', 'Mei Tanaka');
    assert.ok(proxy.counted.connections > 0, 'this browser goes through the proxy');
    assert.equal(await interviewerHasSpoken(candidate, await settled(candidate, 'ai').then((n) => n - 1)), 'your turn');

    // Cable and air: neither the socket nor the call gets a packet through, and nobody is told.
    const [call] = (await callsOf(interview)).filter((each) => each.alive);
    proxy.pull();
    assert.equal(await sandbox.inject('lose_network', call.call_id), 1);
    const pulledAt = Date.now();
    await candidate.page.evaluate(() => void window.__say(1_200));
    await cover(candidate, 'lost').waitFor({ timeout: 20_000 });
    t.diagnostic(`the loss is shown after ${Date.now() - pulledAt} ms`);
    await cover(candidate, 'lost').getByText('The connection was lost').waitFor({ timeout: 20_000 });
    await shoot(candidate, '24-no-network', { all: true });
    await cover(candidate, 'lost').getByText('check your internet').waitFor({ timeout: 30_000 });
    await candidate.page.getByTestId('reload').waitFor();
    await shoot(candidate, '25-no-network-long');
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 30_000 - (Date.now() - pulledAt))));
    assert.ok(proxy.counted.heldBack > 0, 'the page tried to come back meanwhile');

    proxy.plugIn();
    const pluggedAt = Date.now();
    await cover(candidate, 'back').waitFor({ timeout: 60_000 });
    t.diagnostic(`${Date.now() - pluggedAt} ms from the network's return to the call's`);
    await shoot(candidate, '26-back');
    await live(candidate);
    await line(candidate, 'Connected').waitFor();
    await oneTurn(candidate, (await settled(candidate, 'ai')) - 1);
    await end(candidate);
    assert.deepEqual(candidate.complaints, []);
    const { calls } = await isWhole(t, interview);
    assert.ok(calls.length >= 2, 'the call was renewed');
  } finally {
    await far.close();
    await proxy.close();
  }
});

scene('the process is killed', { timeout: 180_000 }, async (t) => {
  const candidate = await person(stage.browser, 'killed');
  const interview = await begun(candidate, 'mei@demo.test', 'Mei Tanaka');
  await eventually('the next question is on its way', async () => (await mood(candidate)) === 'speaking');
  const [machine] = await machinesOf(interview.sessionId);
  process.kill(machine.pid, 'SIGKILL');
  const killedAt = Date.now();
  await eventually('the machine has started the process again', async () => {
    const [now] = await machinesOf(interview.sessionId);
    return now.restarts === 1 && now.state === 'started' && now.pid !== machine.pid;
  });
  await eventually('the page has a new socket', () => candidate.page.evaluate(() => window.__sockets.length >= 2));
  await shoot(candidate, '27-killed');
  await listensTo(interview);
  await live(candidate);
  await line(candidate, 'Connected').waitFor();
  t.diagnostic(`listened to again ${Date.now() - killedAt} ms after the kill`);
  assert.equal((await receivedAudio(candidate.page)).calls, 1, 'the page has placed no other call');
  await oneTurn(candidate, (await settled(candidate, 'ai')) - 1);
  await end(candidate);
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
  const { calls, machines } = await isWhole(t, interview);
  assert.equal(calls.length, 1, 'the voice never stopped');
  assert.deepEqual(machines.map((each) => each.restarts), [1], 'one machine, restarted once');
});

scene('the machine is lost with its host', { timeout: 240_000 }, async (t) => {
  const candidate = await person(stage.browser, 'lost');
  const interview = await begun(candidate, 'jonas@demo.test', 'Jonas Weber');
  assert.equal(await interviewerHasSpoken(candidate, await settled(candidate, 'ai').then((n) => n - 1)), 'your turn');
  const [machine] = await machinesOf(interview.sessionId);
  await sandbox.loseMachine(machine.id);
  const lostAt = Date.now();
  // The call itself goes on without us: what is said now is the browser's to tell.
  await answer(candidate);
  await candidate.page.getByTestId('link-notice').getByText('your call is not').waitFor({ timeout: 20_000 });
  await shoot(candidate, '18-machine-lost', { all: true });
  await eventually(
    'another machine has taken the interview up',
    async () => (await machinesOf(interview.sessionId)).some((each) => each.id !== machine.id && each.state === 'started'),
    { timeoutMs: 90_000 },
  );
  t.diagnostic(`another machine after ${Date.now() - lostAt} ms`);
  await listensTo(interview);
  await live(candidate);
  await line(candidate, 'Connected').waitFor();
  t.diagnostic(`listened to again ${Date.now() - lostAt} ms after the loss`);
  await shoot(candidate, '19-machine-replaced');
  await oneTurn(candidate, (await settled(candidate, 'ai')) - 1);
  await end(candidate);
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
  const { session, calls, machines } = await isWhole(t, interview);
  assert.equal(calls.length, 1, 'the voice never stopped');
  assert.equal(machines.length, 2, 'two machines, one after the other');
  assert.equal(session.machine.attempt, 2);
});

scene('two windows', { timeout: 180_000 }, async (t) => {
  const older = await person(stage.browser, 'window');
  const interview = await begun(older, 'jonas@demo.test', 'Jonas Weber');
  assert.equal(await interviewerHasSpoken(older, await settled(older, 'ai').then((n) => n - 1)), 'your turn');

  const newer = { ...older, name: 'window-2', page: await older.context.newPage() };
  newer.page.setDefaultTimeout(20_000);
  await newer.page.goto(roomUrl(interview.sessionId));
  await newer.page.getByTestId('consent-ai_evaluation').check();
  await newer.page.getByTestId('consent-recording').check();
  await newer.page.getByTestId('consent-continue').click();
  await checkDevices(newer, { camera: false });
  await newer.page.getByTestId('start-interview').click();
  await live(newer);
  await older.page.locator('[data-testid="finished"][data-state="superseded"]').waitFor();
  await shoot(older, '28-superseded', { all: true });
  const sockets = await older.page.evaluate(() => window.__sockets.length);
  assert.equal(await interviewerHasSpoken(newer, (await settled(newer, 'ai')) - 1), 'your turn');
  assert.equal(await older.page.evaluate(() => window.__sockets.length), sockets, 'the older window stays away');

  // And back: the candidate prefers the first window after all.
  await older.page.bringToFront();
  await older.page.getByTestId('continue-here').click();
  await comeBack(older);
  await newer.page.locator('[data-testid="finished"][data-state="superseded"]').waitFor();
  await oneTurn(older, (await settled(older, 'ai')) - 1);
  await end(older);
  assert.deepEqual(older.complaints, []);
  await older.context.close();
  await isWhole(t, interview, { takes: 3 });
});
