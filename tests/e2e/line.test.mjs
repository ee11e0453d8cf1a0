// What a candidate meets when things go wrong: a reload, a lost link, a lost voice line, a second window.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BASE_URL, launch, person, shoot } from './lib/browser.mjs';
import { receivedAudio } from './lib/fake_microphone.mjs';
import {
  agree,
  answer,
  checkDevices,
  createInterview,
  interviewerHasSpoken,
  settled,
  signIn,
} from './lib/steps.mjs';
import { sandbox } from './lib/sandbox.mjs';
import { eventually } from './lib/wait.mjs';

let browser;
let recruiter;
before(async () => {
  browser = await launch();
  recruiter = await person(browser, 'recruiter');
  await signIn(recruiter, 'recruiter@demo.test');
});
after(async () => {
  await browser?.close();
});

const live = ({ page }) => page.locator('[data-testid="room"][data-state="live"]').waitFor({ timeout: 60_000 });
const roomUrl = (sessionId) => `${BASE_URL}/#/room/${sessionId}`;

async function invite(candidateName) {
  await recruiter.page.goto(`${BASE_URL}/#/console`);
  const sessionId = await createInterview(recruiter, candidateName);
  await recruiter.page.getByTestId('done').click();
  return sessionId;
}

async function enter(candidate, email, sessionId) {
  await signIn(candidate, email);
  await candidate.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await candidate.page.goto(roomUrl(sessionId));
  await agree(candidate);
  await checkDevices(candidate, { camera: false });
  await candidate.page.getByTestId('start-interview').click();
  await live(candidate);
}

/** The first lines of the interviewer, as the recruiter's transcript has them. */
async function transcript(sessionId) {
  const { page } = recruiter;
  await page.goto(`${BASE_URL}/#/console/sessions/${sessionId}`);
  await page.getByTestId('entry-ai').first().waitFor();
  return page.locator('[data-testid^="entry-"]').evaluateAll((all) =>
    all.map((each) => ({ speaker: each.className, text: each.querySelector('p')?.textContent?.trim() })),
  );
}

test('a reload continues the interview and does not greet again', { timeout: 240_000 }, async () => {
  const candidate = await person(browser, 'reload', { viewport: { width: 390, height: 844 } });
  const sessionId = await invite('Jonas Weber');
  await enter(candidate, 'jonas@demo.test', sessionId);
  assert.equal(await interviewerHasSpoken(candidate, 0), 'your turn');
  const greeting = await candidate.page.getByTestId('caption-ai').first().locator('p').textContent();
  await answer(candidate);

  await candidate.page.reload();
  await candidate.page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  await shoot(candidate, '20-after-reload');
  await candidate.page.getByTestId('start-interview').click();
  await live(candidate);
  await eventually('the captions of before are back', async () => {
    const texts = await candidate.page.locator('[data-testid^="caption-"] p').allTextContents();
    return texts.some((text) => text.trim() === greeting.trim()) ? texts : null;
  });
  assert.equal(await interviewerHasSpoken(candidate, await settled(candidate, 'ai').then((n) => n - 1)), 'your turn');
  await shoot(candidate, '21-goes-on');
  const lines = await transcript(sessionId);
  assert.equal(lines.filter((line) => line.text === greeting.trim()).length, 1, 'greeted once');

  await candidate.page.getByTestId('end').click();
  await candidate.page.getByTestId('confirm-end').click();
  await candidate.page.locator('[data-testid="finished"][data-state="ended"]').waitFor({ timeout: 45_000 });
  await shoot(candidate, '22-ended-by-candidate');
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
});

test('a lost link is found again while the conversation goes on', { timeout: 240_000 }, async () => {
  const candidate = await person(browser, 'link');
  const sessionId = await invite('Mei Tanaka');
  await enter(candidate, 'mei@demo.test', sessionId);
  assert.equal(await interviewerHasSpoken(candidate, 0), 'your turn');

  const calls = (await receivedAudio(candidate.page)).calls;
  // The page's own close handshake would be final; the server sees the same as when a network goes away.
  await candidate.page.evaluate(() => window.__sockets.at(-1).close(3001, 'test'));
  await eventually('a new socket', () => candidate.page.evaluate(() => window.__sockets.length === 2));
  await candidate.page.getByTestId('line').getByText('Connected').waitFor();
  assert.equal((await receivedAudio(candidate.page)).calls, calls, 'the voice call was not touched');
  const said = await settled(candidate, 'ai');
  await answer(candidate);
  assert.notEqual(await interviewerHasSpoken(candidate, said), 'over');
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
});

test('a lost voice line is covered calmly and comes back', { timeout: 240_000 }, async () => {
  const candidate = await person(browser, 'line');
  const sessionId = await invite('Amara Okafor');
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
  assert.ok((await sandbox.inject('hang_up_peer')) > 0, 'a call was hung up');
  await candidate.page.locator('[data-testid="line-lost"][data-shown="lost"]').waitFor({ timeout: 40_000 });
  await shoot(candidate, '23-line-lost', { all: true });
  await candidate.page.locator('[data-testid="line-lost"][data-shown="back"]').waitFor({ timeout: 40_000 });
  await shoot(candidate, '24-line-back');
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

  // The same interview in a second window: the newer one wins, the older one says so.
  const page = await candidate.context.newPage();
  const newer = { ...candidate, name: 'newer', page };
  await page.goto(roomUrl(sessionId));
  await agree(newer);
  await checkDevices(newer, { camera: false });
  await page.getByTestId('start-interview').click();
  await live(newer);
  await candidate.page.locator('[data-testid="finished"][data-state="superseded"]').waitFor();
  await shoot(candidate, '25-superseded');
  await candidate.context.close();
});

test('someone who does not agree is told what happens, and nothing starts', { timeout: 60_000 }, async () => {
  const candidate = await person(browser, 'declines');
  const sessionId = await invite('Jonas Weber');
  await signIn(candidate, 'jonas@demo.test');
  await candidate.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await candidate.page.goto(roomUrl(sessionId));
  await candidate.page.getByRole('button', { name: 'I do not agree' }).click();
  await candidate.page.getByText('Nothing has been recorded').waitFor();
  await shoot(candidate, '26-declined');
  assert.equal(await candidate.page.evaluate(() => window.__sockets.length), 0, 'no connection was opened');
  assert.equal(await candidate.page.evaluate(() => window.__peers.length), 0, 'no call was placed');

  const { page } = recruiter;
  await page.goto(`${BASE_URL}/#/console/sessions/${sessionId}`);
  await page.getByTestId('end-session').click();
  await page.getByTestId('confirm-end-session').click();
  await eventually('the recruiter ended it', async () => {
    const phase = await page.getByTestId('phase').getAttribute('data-phase');
    return ['completed', 'failed'].includes(phase) ? phase : null;
  });
  await candidate.context.close();
});
