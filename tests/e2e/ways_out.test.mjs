// What is left on a device, who is signed out in the middle of something, and who should not be here at all.
import assert from 'node:assert/strict';
import { BASE_URL, ON_REQUEST, person, scene, shoot } from './lib/browser.mjs';
import { keptTakes } from './lib/kept_takes.mjs';
import { sandbox } from './lib/sandbox.mjs';
import { enter, invite, roomUrl, signIn } from './lib/steps.mjs';
import { api } from './lib/truth.mjs';
import { openStage } from './lib/stage.mjs';
import { eventually } from './lib/wait.mjs';

const stage = openStage();

scene('a recording that could not be sent is sent by the page that is opened next', { timeout: 120_000 }, async () => {
  const candidate = await person(stage.browser, 'leftover');
  const { context } = candidate;
  let { page } = candidate;
  const sessionId = await invite(stage.recruiter, 'Amara Okafor');
  await enter(candidate, 'amara@demo.test', sessionId);
  // Something to send.
  await candidate.page.getByTestId('caption-ai').first().waitFor();
  await context.route(/\/upload\?token=/, (route) => route.abort());
  await page.getByTestId('end').click();
  await page.getByTestId('confirm-end').click();
  await page.locator('[data-testid="finished"][data-state="ended"]').waitFor({ timeout: 60_000 });
  // The progress and the guard belong to the upload, on every page.
  await page.getByRole('link', { name: 'Your interviews' }).click();
  await page.getByTestId('upload-bar').waitFor();
  await shoot(candidate, '60-upload-bar', ON_REQUEST);
  let asked = 0;
  page.on('dialog', (dialog) => {
    asked += 1;
    void dialog.accept();
  });
  await page.close({ runBeforeUnload: true });
  await eventually('the browser asks before the page is closed', async () => asked === 1);

  page = await context.newPage();
  candidate.page = page;
  await page.goto(`${BASE_URL}/`);
  await page.getByTestId('upload-bar').waitFor();
  assert.ok((await keptTakes(page)) > 0, 'it waits on the device');
  await stage.recruiter.page.goto(`${BASE_URL}/#/console/sessions/${sessionId}`);
  await context.unroute(/\/upload\?token=/);
  await page.getByTestId('upload-bar').waitFor({ state: 'hidden', timeout: 40_000 });
  await eventually('the provider has all of it', async () => {
    const { api_video: videos } = await sandbox.state();
    const video = videos.videos.find((each) => each.metadata.some(({ value }) => value === sessionId));
    return video?.status.ingest.status === 'uploaded';
  });
  assert.equal(await keptTakes(page), 0, 'what was sent is not kept');
  await eventually('the recruiter has it', async () => (await api(`/sessions/${sessionId}/recording`)).state === 'playable', {
    timeoutMs: 60_000,
  });
  await context.close();

  // U-05: what could not be read is not said to be missing, and comes when it can be read.
  const { page: desk } = stage.recruiter;
  await desk.route(`**/api/sessions/${sessionId}`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), summary: { status: 'stored' } } });
  });
  await desk.route('**/api/sessions/*/recording', (route) => route.fulfill({ status: 503, body: '{}' }));
  await desk.route('**/api/sessions/*/summary', (route) => route.fulfill({ status: 404, body: '{}' }));
  await desk.reload();
  await desk.getByTestId('retry-recording').waitFor();
  await desk.getByTestId('retry-summary').waitFor();
  await shoot(stage.recruiter, '61-not-loaded', ON_REQUEST);
  await desk.unrouteAll({ behavior: 'wait' });
  await desk.getByTestId('retry-recording').click();
  await desk.locator('[data-testid="recording"] video').waitFor();
  await desk.getByTestId('retry-summary').click();
  await desk.getByText('There is no summary of this interview').waitFor();
});

scene('who is signed out goes on where they are after signing in again', { timeout: 60_000 }, async () => {
  const { page } = stage.recruiter;
  await page.goto(`${BASE_URL}/#/console`);
  await page.getByTestId('session-row').first().waitFor();
  let asked = 0;
  await page.route('**/api/sessions?*', (route) => {
    asked += 1;
    return route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"code":"unauthorized"}' });
  });
  await page.getByTestId('signed-out').waitFor();
  await page.getByRole('dialog').getByLabel('Email').waitFor();
  await shoot(stage.recruiter, '62-signed-out', ON_REQUEST);
  assert.ok(await page.getByTestId('session-row').first().isVisible(), 'the page stays');
  await page.getByTestId('old').waitFor();
  const before = asked;
  await page.waitForTimeout(3_500);
  assert.equal(asked, before, 'nothing is asked without a sign-in');
  await page.unrouteAll({ behavior: 'wait' });
  await page.getByRole('dialog').getByTestId('sign-in-recruiter@demo.test').click();
  await page.getByTestId('signed-out').waitFor({ state: 'hidden' });
  await page.getByTestId('old').waitFor({ state: 'hidden' });
});

scene('nobody but the candidate is asked to agree, and a browser that cannot is told so before', { timeout: 60_000 }, async () => {
  const sessionId = await invite(stage.recruiter, 'Mei Tanaka');
  await stage.recruiter.page.goto(roomUrl(sessionId));
  await stage.recruiter.page.getByTestId('preview').waitFor();
  await stage.recruiter.page.getByText('What the candidate is asked to agree to').waitFor();
  assert.equal(await stage.recruiter.page.getByTestId('consent-continue').count(), 0);
  // U-33: by the company's name, as the candidate reads it.
  const { company } = (await api(`/sessions/${sessionId}/preview`)).interview_context;
  assert.ok(company.name.length > 0);
  await stage.recruiter.page.getByText(`people at ${company.name} read it and decide`).waitFor();
  await shoot(stage.recruiter, '63-preview', ON_REQUEST);

  // U-09: another account is told who it is and nothing of whose invitation it is; the right one comes back to the link.
  const other = await person(stage.browser, 'other');
  await signIn(other, 'amara@demo.test');
  await other.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  const told = async () => {
    await other.page.getByTestId('other-seat').getByText('You are signed in as amara@demo.test').waitFor();
    return other.page.getByTestId('other-seat').innerText();
  };
  await other.page.goto(roomUrl(crypto.randomUUID()));
  const ofNone = await told();
  await other.page.goto(roomUrl(sessionId));
  await other.page.reload();
  assert.equal(await told(), ofNone, 'an invitation of somebody else reads as one that there is not');
  await shoot(other, '69-other-account', ON_REQUEST);
  await other.page.getByTestId('other-account').click();
  await other.page.getByTestId('sign-in-mei@demo.test').click();
  await other.page.getByTestId('consent-continue').waitFor();
  assert.ok(other.page.url().endsWith(sessionId), 'on the link that was opened');
  await other.context.close();

  const deaf = await person(stage.browser, 'nocall');
  await deaf.context.addInitScript(() => Object.defineProperty(navigator, 'mediaDevices', { value: undefined }));
  await signIn(deaf, 'mei@demo.test');
  await deaf.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await deaf.page.goto(roomUrl(sessionId));
  await deaf.page.getByTestId('no-call').waitFor();
  await shoot(deaf, '64-no-call', ON_REQUEST);
  await deaf.context.close();

  // An invitation that nobody took in time says so, and what to do.
  const late = await person(stage.browser, 'late');
  await late.context.route('**/api/sessions/*/ticket', (route) =>
    route.fulfill({ status: 410, contentType: 'application/problem+json', body: '{"code":"session_over"}' }),
  );
  await late.context.route(`**/api/sessions/${sessionId}`, async (route) => {
    const answer = await route.fetch();
    const over = { phase: 'completed', end_reason: 'candidate_absent' };
    await route.fulfill({ response: answer, json: { ...(await answer.json()), ...over } });
  });
  await signIn(late, 'mei@demo.test');
  await late.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await late.page.goto(roomUrl(sessionId));
  await late.page.getByRole('heading', { name: 'This invitation has expired' }).waitFor();
  await shoot(late, '68-expired', ON_REQUEST);
  await late.context.close();

  const old = await person(stage.browser, 'old');
  await old.context.addInitScript(() => delete Array.prototype.findLast);
  await old.page.goto(`${BASE_URL}/`);
  await old.page.getByRole('heading', { name: 'This browser is too old for this page' }).waitFor();
  await shoot(old, '65-too-old', ON_REQUEST);
  assert.deepEqual(old.complaints, []);
  await old.context.close();

  // A fault of the page is no reason to wait, and is not tried for ever.
  const faulty = await person(stage.browser, 'faulty');
  await faulty.context.addInitScript(() => {
    window.RTCPeerConnection = class {
      constructor() {
        throw new TypeError('peer is not a function');
      }
    };
  });
  await signIn(faulty, 'mei@demo.test');
  await faulty.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await faulty.page.goto(roomUrl(sessionId));
  await faulty.page.getByTestId('consent-ai_evaluation').check();
  await faulty.page.getByTestId('consent-recording').check();
  await faulty.page.getByTestId('consent-continue').click();
  for (let reloads = 0; reloads <= 2; reloads += 1) {
    await faulty.page.getByTestId('start-unheard').click();
    await faulty.page.getByTestId('start-interview').click();
    await faulty.page.getByTestId('support').getByText('page-').waitFor();
    if (reloads === 0) await shoot(faulty, '66-fault', ON_REQUEST);
    if (reloads < 2) await faulty.page.getByTestId('try-again').click();
  }
  assert.equal(await faulty.page.getByTestId('try-again').count(), 0, 'no third time');
  await shoot(faulty, '67-fault-again');
  await faulty.context.close();
});
