// What a candidate meets when the link, the voice or the agreement is missing.
import assert from 'node:assert/strict';
import { BASE_URL, ON_REQUEST, person, scene, shoot } from './lib/browser.mjs';
import { receivedAudio } from './lib/fake_microphone.mjs';
import { answer, enter, interviewerHasSpoken, invite, live, roomUrl, settled, signIn } from './lib/steps.mjs';
import { sandbox } from './lib/sandbox.mjs';
import { callsOf } from './lib/truth.mjs';
import { openStage } from './lib/stage.mjs';
import { eventually } from './lib/wait.mjs';

const stage = openStage();

scene('a lost link is found again while the conversation goes on', { timeout: 240_000 }, async () => {
  const candidate = await person(stage.browser, 'link');
  const sessionId = await invite(stage.recruiter, 'Mei Tanaka');
  await enter(candidate, 'mei@demo.test', sessionId);
  assert.equal(await interviewerHasSpoken(candidate, 0), 'your turn');

  const calls = (await receivedAudio(candidate.page)).calls;
  // For a while there is no ticket to be had either, so that the words for it are seen.
  let refused = 0;
  // Then the sign-in is refused, with the old token and with the renewed one.
  await candidate.page.route('**/api/sessions/*/ticket', (route) => {
    refused += 1;
    if (refused <= 2) return route.abort();
    if (refused > 4) return route.continue();
    return route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"code":"unauthorized"}' });
  });
  // The page's own close handshake would be final; the server sees the same as when a network goes away.
  await candidate.page.evaluate(() => window.__sockets.at(-1).close(3001, 'test'));
  await candidate.page.getByTestId('link-notice').getByText('your call is not').waitFor();
  await shoot(candidate, '13-link-lost', { all: true });
  await eventually('a new socket', () => candidate.page.evaluate(() => window.__sockets.length === 2));
  await candidate.page.getByTestId('link-notice').getByText('Nothing was lost').waitFor();
  await shoot(candidate, '14-link-back');
  await candidate.page.getByTestId('line').getByText('Connected').waitFor();
  // Signed out in the middle of a call: it goes on, nobody is interrupted, and one can sign in again over it.
  await candidate.page.getByTestId('signed-out').getByText('Your call goes on').waitFor();
  assert.equal(await candidate.page.getByRole('dialog').count(), 0);
  await shoot(candidate, '14-signed-out-in-call', ON_REQUEST);
  await candidate.page.getByRole('button', { name: 'Sign in again' }).click();
  await candidate.page.getByRole('dialog').getByTestId('sign-in-mei@demo.test').click();
  await candidate.page.getByTestId('signed-out').waitFor({ state: 'hidden' });
  await live(candidate);
  assert.equal((await receivedAudio(candidate.page)).calls, calls, 'the voice call was not touched');
  const said = await settled(candidate, 'ai');
  await answer(candidate);
  assert.notEqual(await interviewerHasSpoken(candidate, said), 'over');
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
});

scene('a lost voice line is covered calmly and comes back', { timeout: 240_000 }, async () => {
  const since = Date.now() - 1_000;
  const candidate = await person(stage.browser, 'line');
  const sessionId = await invite(stage.recruiter, 'Amara Okafor');
  await enter(candidate, 'amara@demo.test', sessionId);
  assert.equal(await interviewerHasSpoken(candidate, 0), 'your turn');
  const before = await receivedAudio(candidate.page);

  // The runtime is kept from answering for a while, so that the cover is seen; then the line comes back.
  await candidate.page.evaluate(() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
      if (typeof data === 'string' && data.includes('"sdp_offer"')) setTimeout(() => send.call(this, data), 3_000);
      else send.call(this, data);
    };
  });
  const [call] = await callsOf({ since, name: 'Amara Okafor' });
  assert.equal(await sandbox.inject('hang_up_peer', call.call_id), 1);
  await candidate.page.locator('[data-testid="line-lost"][data-shown="lost"]').waitFor({ timeout: 40_000 });
  // What lies under the cover can be neither seen nor used; the keyboard is on the cover, and the way out within reach.
  const under = await candidate.page.evaluate(() => ({
    inert: ['header', 'main', 'footer'].map((name) => document.querySelector(`[data-testid="room"] > ${name}`).inert),
    onCover: document.querySelector('[data-testid="line-lost"]').contains(document.activeElement),
  }));
  assert.deepEqual(under, { inert: [true, true, true], onCover: true });
  await candidate.page.keyboard.press('Tab');
  assert.ok(await candidate.page.getByTestId('end-lost').evaluate((button) => button === document.activeElement));
  await shoot(candidate, '15-line-lost', { all: true });
  await candidate.page.locator('[data-testid="line-lost"][data-shown="back"]').waitFor({ timeout: 40_000 });
  await shoot(candidate, '16-line-back');
  await live(candidate);
  const again = await eventually('sound of the new call', async () => {
    const now = await receivedAudio(candidate.page);
    return now.calls > before.calls && now.packets > 50 ? now : null;
  });
  assert.ok(again.calls >= 2);
  assert.deepEqual(candidate.complaints, []);

  const said = await settled(candidate, 'ai');
  await answer(candidate);
  assert.equal(await interviewerHasSpoken(candidate, said), 'your turn');

  // The other way to lose it: no packet comes through any more, and nobody says so.
  const silent = (await callsOf({ since, name: 'Amara Okafor' })).find((each) => each.alive);
  assert.equal(await sandbox.inject('lose_network', silent.call_id), 1);
  await eventually(
    'the silence is noticed and another call is up',
    async () => (await receivedAudio(candidate.page)).calls > again.calls,
  );
  await live(candidate);
  assert.notEqual(await interviewerHasSpoken(candidate, await settled(candidate, 'ai').then((n) => n - 1)), 'over');
  await candidate.context.close();
});

scene('someone who does not agree is told what happens, and nothing starts', { timeout: 60_000 }, async () => {
  const candidate = await person(stage.browser, 'declines');
  const sessionId = await invite(stage.recruiter, 'Jonas Weber');
  await signIn(candidate, 'jonas@demo.test');
  await candidate.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await candidate.page.goto(roomUrl(sessionId));
  await candidate.page.getByRole('button', { name: 'I do not agree' }).click();
  await candidate.page.getByText('Nothing has been recorded').waitFor();
  await shoot(candidate, '17-declined');
  assert.equal(await candidate.page.evaluate(() => window.__sockets.length), 0, 'no connection was opened');
  assert.equal(await candidate.page.evaluate(() => window.__peers.length), 0, 'no call was placed');

  const { page } = stage.recruiter;
  await page.goto(`${BASE_URL}/#/console/sessions/${sessionId}`);
  await page.getByTestId('end-session').click();
  await page.getByTestId('confirm-end-session').click();
  await eventually('the recruiter ended it', async () => {
    const phase = await page.getByTestId('phase').getAttribute('data-phase');
    return ['completed', 'failed'].includes(phase) ? phase : null;
  });
  await candidate.context.close();
});
