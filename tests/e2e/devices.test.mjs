// What happens to a browser's devices, sound and storage in the middle of an interview, and what the page says.
import assert from 'node:assert/strict';
import { ON_REQUEST, person, scene, shoot } from './lib/browser.mjs';
import { atTheFloor, interruptible, withoutMixing, withoutMixingOf, withoutStorage } from './lib/broken_browser.mjs';
import { receivedAudio } from './lib/fake_microphone.mjs';
import { agree, checkDevices, comeBack, end, interviewerHasSpoken, invite, live, mood, oneTurn, roomUrl, signIn } from './lib/steps.mjs';
import { openStage } from './lib/stage.mjs';
import { api } from './lib/truth.mjs';
import { eventually } from './lib/wait.mjs';

const stage = openStage();

const notice = ({ page }, id, words) => page.getByTestId(id).getByText(words);

/** As far as the check of the devices. */
async function toTheCheck(candidate, email, name) {
  const sessionId = await invite(stage.recruiter, name);
  await signIn(candidate, email);
  await candidate.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await candidate.page.goto(roomUrl(sessionId));
  await agree(candidate);
  await candidate.page.getByTestId('start-interview').waitFor();
  return sessionId;
}

scene('an old browser without storage, in which nothing can be mixed, holds an interview', { timeout: 120_000 }, async () => {
  const candidate = await person(stage.browser, 'floor');
  for (const script of [atTheFloor, withoutStorage, withoutMixing]) await candidate.context.addInitScript(script);
  await toTheCheck(candidate, 'mei@demo.test', 'Mei Tanaka');
  await candidate.page.getByTestId('no-meter').waitFor();
  await shoot(candidate, '40-no-meter', ON_REQUEST);
  await candidate.page.getByTestId('start-interview').click();
  await live(candidate);
  await eventually('the interviewer is heard', async () => (await receivedAudio(candidate.page)).energy > 0.005);
  const playing = await candidate.page.getByTestId('ai-audio').evaluate((audio) => Boolean(audio.srcObject) && !audio.paused);
  assert.ok(playing, 'the element plays the interviewer');
  await candidate.page.getByTestId('one-voice-notice').waitFor();
  await shoot(candidate, '41-one-voice', ON_REQUEST);
  // The candidate alone is recorded, and that arrives.
  await end(candidate);
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
});

// B-04 (b) and (c): the call depends neither on the meter nor on the mix.
for (const [what, told] of [
  ['since', 'from Start on'],
  ['remote', "for the interviewer's voice alone"],
]) {
  scene(`mixing is refused ${told}: the interviewer is heard, and the recording says what it lacks`, { timeout: 120_000 }, async () => {
    const candidate = await person(stage.browser, `unmixed-${what}`);
    const { page } = candidate;
    await candidate.context.addInitScript(withoutMixingOf, what);
    const sessionId = await toTheCheck(candidate, 'mei@demo.test', 'Mei Tanaka');
    await checkDevices(candidate, { camera: false });
    await page.evaluate(() => (window.__mixingIsRefused = true));
    await page.getByTestId('start-interview').click();
    await live(candidate);
    await eventually('the interviewer is heard', async () => (await receivedAudio(page)).energy > 0.005);
    assert.ok(await page.getByTestId('ai-audio').evaluate((audio) => Boolean(audio.srcObject) && !audio.paused), 'it plays');
    assert.ok((await page.evaluate(() => window.__mixingRefused)) > 0, 'mixing was refused');
    await page.getByTestId('one-voice-notice').waitFor();
    await oneTurn(candidate, 0);
    await end(candidate);
    assert.deepEqual(candidate.complaints, []);
    await candidate.context.close();
    await eventually('the recording of one voice arrives', async () => {
      const recording = await api(`/sessions/${sessionId}/recording`);
      return ['uploaded', 'playable'].includes(recording.state) && !recording.incomplete && recording.mime_type.startsWith('audio/webm');
    });
  });
}

scene('a microphone and a voice that fail in every way come back, or say what to do', { timeout: 240_000 }, async () => {
  const candidate = await person(stage.browser, 'devices');
  const { page } = candidate;
  await candidate.context.addInitScript(interruptible);
  await toTheCheck(candidate, 'jonas@demo.test', 'Jonas Weber');

  // U-06: who has agreed and not begun is not welcomed back.
  await page.reload();
  await page.getByRole('heading', { name: 'Check your sound' }).waitFor();

  // U-07: the check asks for sound; to go on without is a second, named choice.
  await page.getByTestId('start-unheard').waitFor();
  assert.ok(await page.getByTestId('start-interview').isDisabled(), 'not before something was heard');
  await shoot(candidate, '42-say-something', ON_REQUEST);
  await page.getByTestId('start-unheard').click();
  await page.getByTestId('start-interview').click();
  await live(candidate);
  assert.equal(await interviewerHasSpoken(candidate, 0), 'your turn');

  // U-07: silence at one's turn, and speaking while muted.
  await notice(candidate, 'unheard-notice', 'We cannot hear you').waitFor();
  await shoot(candidate, '43-not-heard', ON_REQUEST);
  await page.getByTestId('mute').click();
  await page.evaluate(() => void window.__say(2_000));
  await notice(candidate, 'unheard-notice', 'You are muted').waitFor();
  await shoot(candidate, '44-muted', ON_REQUEST);
  await page.getByTestId('unmute-now').click();
  await page.getByTestId('unheard-notice').waitFor({ state: 'hidden' });

  // B-02: muted by the system, then lost while no other can be had, then connected again.
  await page.evaluate(() => window.__microphones.at(-1).dispatchEvent(new Event('mute')));
  await notice(candidate, 'microphone-notice', 'has muted your microphone').waitFor();
  await shoot(candidate, '45-muted-by-system', ON_REQUEST);
  await page.evaluate(() => window.__microphones.at(-1).dispatchEvent(new Event('unmute')));
  await page.getByTestId('microphone-notice').waitFor({ state: 'hidden' });
  await page.evaluate(() => {
    window.__noMicrophone = true;
    const track = window.__microphones.at(-1);
    track.stop();
    track.dispatchEvent(new Event('ended'));
  });
  await notice(candidate, 'microphone-notice', 'your microphone is gone').waitFor();
  await shoot(candidate, '46-microphone-lost', ON_REQUEST);
  await page.getByTestId('choose-microphone').click();
  await page.getByTestId('room-microphone').waitFor();
  await shoot(candidate, '47-settings', ON_REQUEST);
  await page.getByTestId('room-captions').selectOption('largest');
  await page.getByTestId('room-camera').selectOption({ index: 1 });
  await page.getByLabel('Your camera picture').waitFor();
  await page.getByTestId('settings-done').click();
  await page.evaluate(() => {
    window.__noMicrophone = false;
    navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
  });
  await notice(candidate, 'replaced-notice', 'You are now heard through').waitFor();
  await shoot(candidate, '48-replaced', ON_REQUEST);
  const sent = await page.evaluate(() => {
    const [sender] = window.__peers.at(-1).getSenders();
    return sender.track === window.__microphones.at(-1) && sender.track.readyState;
  });
  assert.equal(sent, 'live', 'the call has the new microphone');
  await page.evaluate(() => void window.__say(1_600));
  await eventually('the new microphone is heard', async () => (await mood(candidate)) === 'listening');

  // B-03: the element is stopped, and plays again; where that is refused, a button brings it back.
  const audio = page.getByTestId('ai-audio');
  const plays = () => audio.evaluate((element) => !element.paused);
  await audio.evaluate((element) => element.pause());
  await eventually('it plays again', plays);
  await audio.evaluate((element) => {
    element.play = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
    element.pause();
  });
  await page.getByTestId('sound-blocked').waitFor();
  await shoot(candidate, '49-sound-blocked', ON_REQUEST);
  await audio.evaluate((element) => delete element.play);
  await page.getByTestId('go-on').click();
  await eventually('it plays after the click', plays);
  await page.getByTestId('sound-blocked').waitFor({ state: 'hidden' });

  // B-03: the mix is stopped by the system, which does not let it go on by itself at first.
  await page.evaluate(() => {
    window.__resume = AudioContext.prototype.resume;
    AudioContext.prototype.resume = () => Promise.reject(new DOMException('no', 'InvalidStateError'));
    // The first one is the microphone of the test.
    for (const context of window.__contexts.slice(1)) if (context.state === 'running') void context.suspend();
  });
  await page.getByTestId('mix-stalled').waitFor();
  await shoot(candidate, '50-mix-stalled', ON_REQUEST);
  await page.evaluate(() => (AudioContext.prototype.resume = window.__resume));
  await page.getByTestId('go-on').click();
  await page.getByTestId('mix-stalled').waitFor({ state: 'hidden' });

  // U-02: the way back asks first, and staying is what happens when nobody answers.
  await page.goBack();
  await page.getByTestId('stay').waitFor();
  await shoot(candidate, '51-leave', ON_REQUEST);
  await page.keyboard.press('Enter');
  await page.getByTestId('stay').waitFor({ state: 'hidden' });
  await page.goBack();
  await page.getByTestId('stay').waitFor();
  await page.keyboard.press('Escape');
  await page.getByTestId('stay').waitFor({ state: 'hidden' });
  assert.equal(await page.getByTestId('room').getAttribute('data-state'), 'live', 'the call was never touched');
  await page.evaluate(() => (location.hash = '#/'));
  await page.getByTestId('leave').click();
  const first = page.getByTestId('interview').first();
  await first.getByTestId('waits').getByText(/It waits for you until .*\b20\d\d\b.*, (\d minutes?|less than a minute) more/).waitFor();
  await shoot(candidate, '52-waits', ON_REQUEST);
  await first.getByTestId('join').click();

  // U-08: what was chosen in this interview is kept.
  await page.getByLabel('Your camera picture').waitFor();
  await comeBack(candidate);
  assert.equal(await page.locator('.captions.largest').count(), 1, 'the size of the captions');
  await shoot(candidate, '53-large-captions');
  // U-15: low and narrow windows.
  for (const [label, viewport] of [['low', { width: 844, height: 390 }], ['zoomed', { width: 320, height: 256 }]]) {
    await page.setViewportSize(viewport);
    await shoot(candidate, `54-${label}`);
    const reach = await page.getByTestId('end').evaluate((button) => {
      button.scrollIntoView();
      const box = button.getBoundingClientRect();
      return button.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
    });
    assert.ok(reach, `${label}: the way out can be reached`);
    const read = await page.locator('[data-testid^="caption-"]').last().evaluate((caption) => {
      caption.scrollIntoView({ block: 'center' });
      const box = caption.getBoundingClientRect();
      const seen = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, innerHeight) / 2);
      return caption.contains(seen);
    });
    assert.ok(read, `${label}: nothing lies over the captions`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  assert.deepEqual(candidate.complaints, []);
  await end(candidate);
  await candidate.context.close();
});
