// One interview from the recruiter's click to the stored summary and the destroyed machine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, heard, person, picture, pictures, signIn, until } from './browser.mjs';

const state = async () => (await fetch(`${BASE}/sandbox/state`)).json();
const violations = async () => (await fetch(`${BASE}/sandbox/violations`)).json();

test('an interview is held, seen live, recorded, summarized, and its machine destroyed', { timeout: 240_000 }, async (t) => {
  const recruiter = await person();
  const candidate = await person();
  t.after(() => Promise.all([recruiter.close(), candidate.close()]));
  const before = (await violations()).length ?? 0;

  await recruiter.page.goto(BASE);
  await recruiter.page.getByTestId('sign-in-recruiter@demo.test').waitFor();
  await pictures(recruiter.page, '01-sign-in');
  await signIn(recruiter.page, 'recruiter@demo.test');
  await recruiter.page.getByTestId('new-interview').click();
  await picture(recruiter.page, '02-new-interview');
  await recruiter.page.getByTestId('create').click();
  const link = await until('the join link is shown', async () => {
    const shown = recruiter.page.getByTestId('join-link');
    if (!(await shown.count())) return null;
    return (await shown.first().inputValue().catch(() => null)) ?? (await shown.first().textContent());
  });
  const id = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(link)[0];
  await picture(recruiter.page, '03-created');

  await signIn(candidate.page, 'amara@demo.test');
  await candidate.page.getByTestId('join').first().waitFor();
  await picture(candidate.page, '04-candidate-home');
  await candidate.page.goto(`${BASE}/#/room/${id}`);
  await candidate.page.getByTestId('consent-ai_evaluation').check();
  await candidate.page.getByTestId('consent-recording').check();
  await pictures(candidate.page, '05-agreement');
  await candidate.page.getByTestId('consent-continue').click();
  await candidate.page.getByTestId('camera-toggle').waitFor();
  await candidate.page.getByTestId('camera-toggle').click();
  await candidate.page.evaluate(() => window.__say(600));
  await pictures(candidate.page, '06-device-check');
  await candidate.page.getByTestId('start-interview').click();
  await candidate.page.getByTestId('room').waitFor();

  await recruiter.page.goto(`${BASE}/#/console/sessions/${id}`);
  await until('the interviewer is heard', async () => {
    const got = await heard(candidate.page);
    return got.packets > 25 && got.energy > 0.001 ? got : null;
  });
  await candidate.page.getByTestId('caption-ai').first().waitFor();

  // Speak after each question until the interviewer ends the interview.
  let answers = 0;
  const finished = candidate.page.getByTestId('finished');
  await until('the interviewer ends the interview', async () => {
    if (await finished.count()) return true;
    const asked = await candidate.page.getByTestId('caption-ai').count();
    const speaking = await candidate.page.getByTestId('presence').getAttribute('data-speaking').catch(() => null);
    if (asked > answers && speaking !== 'ai' && answers < 8) {
      await candidate.page.evaluate(() => window.__say(1100)).catch(() => {});
      answers += 1;
      await until('the answer is captioned', async () => (await finished.count()) || (await candidate.page.getByTestId('caption-candidate').count()) >= Math.min(answers, 1));
      if (answers === 1) {
        await pictures(candidate.page, '07-room');
        await pictures(recruiter.page, '08-live');
      }
      await candidate.page.waitForTimeout(2_500);
    }
    return false;
  }, 150_000);
  await until('the recording is uploaded', async () => (await candidate.page.getByTestId('done').count()) > 0, 40_000).catch(() => {});
  await pictures(candidate.page, '09-finished');

  await recruiter.page.getByTestId('summary').waitFor({ timeout: 60_000 });
  await recruiter.page.getByTestId('recommendation').waitFor({ timeout: 60_000 });
  await recruiter.page.getByTestId('evidence').first().click();
  await pictures(recruiter.page, '10-summary');
  assert.ok((await recruiter.page.getByTestId('entry-ai').count()) >= 2);
  assert.ok((await recruiter.page.getByTestId('entry-candidate').count()) >= 1);

  // The stand-ins' side of the same story.
  const machine = await until('the machine is destroyed', async () => {
    const machines = (await state()).fly.machines ?? (await state()).fly.apps.flatMap((app) => app.machines ?? []);
    const ours = machines.find((one) => JSON.stringify(one).includes(id));
    return ours && ours.state === 'destroyed' ? ours : null;
  }, 60_000);
  assert.ok(machine);
  const videos = (await state()).api_video.videos;
  const video = videos.find((one) => JSON.stringify(one).includes(id));
  assert.ok(video && JSON.stringify(video).includes('parts'), 'the recording is known');
  assert.deepEqual(candidate.problems, []);
  assert.deepEqual(recruiter.problems, []);
  assert.equal((await violations()).length ?? 0, before, JSON.stringify(await violations()));
});
