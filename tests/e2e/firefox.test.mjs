// An interview in Firefox: joining, a microphone that goes away, a reload, the recording. What an engine does not
// decide is left to the tests in Chromium. And the form of a plan: focus, undo, errors in JSON.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { withoutMixingOf } from './lib/broken_browser.mjs';
import { launchFirefox, visitor } from './lib/firefox.mjs';
import { api, createByApi, isWhole } from './lib/truth.mjs';
import { eventually } from './lib/wait.mjs';

let browser;
before(async () => {
  browser = await launchFirefox();
});
after(async () => {
  await browser?.close();
});

test('an interview in Firefox survives a lost microphone and a reload', { timeout: 180_000 }, async (t) => {
  const since = Date.now() - 1_000;
  const sessionId = await createByApi('Amara Okafor');
  const candidate = await visitor(browser);
  const { page } = candidate;
  await candidate.goto('/');
  await candidate.click('sign-in-amara@demo.test');
  await candidate.see('interview');
  await candidate.goto(`/#/room/${sessionId}`);
  for (const id of ['consent-ai_evaluation', 'consent-recording', 'consent-continue']) await candidate.click(id);

  // Joining. Where nothing can be measured, that is said and keeps nobody out.
  const enter = async () => {
    await candidate.see('start-interview', ':not([disabled])');
    await candidate.shoot('1-check');
    await candidate.click('start-interview');
    await candidate.see('room', '[data-state="live"]', 60_000);
  };
  await enter();
  t.diagnostic(await browser.version());
  await eventually('the interviewer is heard', async () => (await candidate.heard()) > 0.005);
  await candidate.shoot('2-live');

  // A microphone that goes away. (Firefox gives a made-up event of a track to nobody; the list of devices tells.)
  await page.evaluate(() => {
    const track = window.__microphones.at(-1);
    track.stop();
    track.dispatchEvent(new Event('ended'));
    navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
  });
  await candidate.see('replaced-notice');
  await candidate.shoot('3-replaced');
  const sent = await page.evaluate(() => {
    const [sender] = window.__peers.at(-1).getSenders();
    return sender.track === window.__microphones.at(-1) && sender.track.readyState;
  });
  assert.equal(sent, 'live', 'the call has the new one');

  // The interviewer's voice is stopped, as for a phone call; and a step back asks first.
  const audio = '[data-testid="ai-audio"]';
  await page.$eval(audio, (element) => element.pause());
  await eventually('it plays again', () => page.$eval(audio, (element) => !element.paused));
  await page.evaluate(() => history.back());
  await candidate.click('stay');
  await candidate.see('room', '[data-state="live"]');

  // A reload. The recording goes on. (What a page had recorded before is another test's: of a microphone that has been
  // silent from the beginning Firefox hands nothing out for ten seconds.)
  // The greeting is said before: one that a reload cuts off may be said again.
  await eventually('the greeting is said', async () => (await candidate.count('caption-ai', '[data-settled="true"]')) > 0);
  await page.reload();
  await enter();
  await candidate.see('recording-indicator', '.on', 60_000);
  await candidate.yourTurn(0);
  await candidate.say(1_600);
  await eventually('the answer is heard', async () => (await candidate.count('caption-candidate', '[data-settled="true"]')) > 0);
  await candidate.click('end');
  await candidate.click('confirm-end');
  await candidate.see('upload', '[data-recording="stored"]', 60_000);
  await candidate.shoot('4-finished');
  assert.deepEqual(candidate.complaints, []);
  const takes = (await api(`/sessions/${sessionId}/recording`)).segments.length;
  await isWhole(t, { sessionId, since, name: 'Amara Okafor' }, { takes });
  assert.ok(takes >= 1, 'the recording has arrived');
});

// B-04 (b) and (c). Without a sound card nothing runs that could be mixed here, so a refusal is met in a browser that
// records one voice anyway; what is played is the same for both engines.
for (const [what, told] of [
  ['since', 'from Start on'],
  ['remote', "for the interviewer's voice alone"],
]) {
  test(`mixing is refused in Firefox ${told}, and the call does not notice`, { timeout: 120_000 }, async () => {
    const sessionId = await createByApi('Amara Okafor');
    const candidate = await visitor(browser);
    const { page } = candidate;
    await page.evaluateOnNewDocument(withoutMixingOf, what);
    await candidate.goto('/');
    // Whoever signed in before in this browser still is.
    await page.waitForSelector('[data-testid="sign-in-amara@demo.test"], [data-testid="interview"]', { visible: true });
    if ((await candidate.count('sign-in-amara@demo.test')) > 0) await candidate.click('sign-in-amara@demo.test');
    await candidate.see('interview');
    await candidate.goto(`/#/room/${sessionId}`);
    for (const id of ['consent-ai_evaluation', 'consent-recording', 'consent-continue']) await candidate.click(id);
    await candidate.see('start-interview', ':not([disabled])');
    await page.evaluate(() => (window.__mixingIsRefused = true));
    await candidate.click('start-interview');
    await candidate.see('room', '[data-state="live"]', 60_000);
    await eventually('the interviewer is heard', async () => (await candidate.heard()) > 0.005);
    assert.ok(await page.$eval('[data-testid="ai-audio"]', (audio) => Boolean(audio.srcObject) && !audio.paused), 'it plays');
    assert.ok((await page.evaluate(() => window.__mixingRefused)) > 0, 'mixing was refused');
    await candidate.see('one-voice-notice');
    await candidate.yourTurn(0);
    await candidate.say(1_600);
    await eventually('the answer is heard', async () => (await candidate.count('caption-candidate', '[data-settled="true"]')) > 0);
    await candidate.click('end');
    await candidate.click('confirm-end');
    await candidate.see('upload', '[data-recording="stored"]', 60_000);
    assert.deepEqual(candidate.complaints, []);
    await page.close();
    await eventually('the recording of one voice arrives', async () => {
      const recording = await api(`/sessions/${sessionId}/recording`);
      return ['uploaded', 'playable'].includes(recording.state) && !recording.incomplete;
    });
  });
}

test('the form of a plan works in Firefox: focus after a move, undo, JSON', { timeout: 60_000 }, async () => {
  const context = await browser.createBrowserContext();
  const recruiter = await visitor(context);
  const { page } = recruiter;
  await recruiter.goto('/');
  await recruiter.click('sign-in-recruiter@demo.test');
  await recruiter.see('new-interview');
  await recruiter.goto('/#/console/plans');
  await recruiter.see('record');
  await page.$$eval('[data-testid="record"] a', (links) => links.find((link) => link.textContent.includes('Senior software engineer')).click());
  await recruiter.see('plan-form');
  const second = '#plan-sections-1-questions-1';
  await page.$eval(`${second} [data-testid="unfold"]`, (button) => button.click());
  await page.waitForSelector(`${second}-spoken`);
  const words = await page.$eval(`${second}-spoken`, (field) => field.value);
  await page.focus(`${second}-up`);
  await page.keyboard.press('Enter');
  await eventually('the focus moves along', () => page.evaluate(() => document.activeElement.id === 'plan-sections-1-questions-0-down'));
  assert.equal(await page.$eval('#plan-sections-1-questions-0-spoken', (field) => field.value), words);
  await recruiter.see('save-state', '[data-state="unsaved"]');
  await recruiter.shoot('5-plan-form');
  await recruiter.click('undo');
  await recruiter.see('save-state', '[data-state="saved"]');
  await recruiter.click('view-json');
  await recruiter.see('json');
  await page.$eval('[data-testid="json"]', (field) => {
    field.value = field.value.slice(0, -3);
    field.dispatchEvent(new Event('input', { bubbles: true }));
  });
  await recruiter.see('json-problem');
  assert.match(await recruiter.text('json-problem'), /^This is not JSON: .*line \d+ column \d+/);
  await recruiter.click('undo');
  await recruiter.see('save-state', '[data-state="saved"]');
  assert.deepEqual(recruiter.complaints, []);
  await context.close();
});
