// An invitation that nobody takes: what everybody reads of its end, how it is kept open longer, and what is said when
// it has expired. It takes half an hour elsewhere and some seconds here.
import assert from 'node:assert/strict';
import { startSandbox } from './lib/own_sandbox.mjs';

const ABSENCE_S = 40;
const own = await startSandbox(['--set', `INTERVIEW__INTERVIEW__ABSENCE_TIMEOUT_S=${ABSENCE_S}`]);
process.env.BASE_URL = own.url;
const { BASE_URL, ON_REQUEST, person, scene, shoot } = await import('./lib/browser.mjs');
const { agree, checkDevices, createInterview, invite, roomUrl, signIn } = await import('./lib/steps.mjs');
const { api } = await import('./lib/truth.mjs');
const { openStage } = await import('./lib/stage.mjs');
const { eventually } = await import('./lib/wait.mjs');

const stage = openStage(own.stop);

/** Date, time and zone, as this browser writes them. */
const moment = ({ page }, instant) =>
  page.evaluate(
    (at) =>
      new Intl.DateTimeFormat(undefined, {
        weekday: 'short',
        day: 'numeric',
        month: 'short',
        year: 'numeric',
        hour: '2-digit',
        minute: '2-digit',
        timeZoneName: 'short',
      }).format(new Date(at)),
    instant,
  );
const session = (id) => api(`/sessions/${id}`);
const detail = (id) => stage.recruiter.page.goto(`${BASE_URL}/#/console/sessions/${id}`);

scene('the end of an invitation stands wherever the invitation stands, and can be moved', { timeout: 120_000 }, async () => {
  const { recruiter } = stage;
  const { page: desk } = recruiter;
  const candidate = await person(stage.browser, 'invited');
  const sessionId = await createInterview(recruiter, 'Mei Tanaka');
  const end = await moment(recruiter, (await session(sessionId)).join_by);
  await desk.getByRole('dialog').getByText(`open until ${end}`).waitFor();
  await shoot(recruiter, '70-created', ON_REQUEST);
  await desk.getByTestId('done').click();
  const row = desk.locator(`[data-session="${sessionId}"]`);
  await row.getByText(`Open until ${end}`).waitFor();

  // The recruiter keeps it open longer, by keyboard alone.
  await detail(sessionId);
  await desk.getByTestId('join-by').getByText(end).waitFor();
  await desk.getByTestId('extend').focus();
  await desk.keyboard.press('Enter');
  await desk.getByTestId('extend-to').waitFor();
  await shoot(recruiter, '71-extend', ON_REQUEST);
  await desk.getByTestId('extend-to').focus();
  await desk.keyboard.press('ArrowDown');
  await desk.keyboard.press('Tab');
  await desk.keyboard.press('Enter');
  await desk.getByTestId('extend-to').waitFor({ state: 'hidden' });
  const later = (await session(sessionId)).join_by;
  const words = await moment(recruiter, later);
  assert.ok(Date.parse(later) > Date.now() + 110 * 60_000, later);
  await desk.getByTestId('join-by').getByText(words).waitFor();
  await shoot(recruiter, '72-detail', ON_REQUEST);
  // More than may be is said in words, and the dialog stays.
  await desk.getByTestId('extend').click();
  await desk.route('**/extend', (route) =>
    route.fulfill({ status: 400, contentType: 'application/problem+json', body: '{"code":"invitation_end_refused"}' }),
  );
  await desk.getByTestId('confirm-extend').click();
  await desk.getByTestId('extend-problem').getByText('cannot be kept open that long').waitFor();
  await shoot(recruiter, '73-extend-refused', ON_REQUEST);
  await desk.unrouteAll({ behavior: 'wait' });
  await desk.keyboard.press('Escape');

  // The candidate reads the same: in the list, before the agreement, before the start.
  await signIn(candidate, 'mei@demo.test');
  const mine = candidate.page.getByTestId('interview').first();
  await mine.getByText(`Open until ${words}`).waitFor();
  await shoot(candidate, '74-list', ON_REQUEST);
  await candidate.page.goto(roomUrl(sessionId));
  await candidate.page.getByTestId('join-by').getByText(words).waitFor();
  await shoot(candidate, '75-agreement', ON_REQUEST);
  await agree(candidate);
  await candidate.page.getByTestId('join-by').getByText(words).waitFor();
  await shoot(candidate, '76-check', ON_REQUEST);
  assert.deepEqual([...candidate.complaints, ...recruiter.complaints], []);
  await candidate.context.close();
});

scene('an invitation that nobody took says that it has expired, and what to do', { timeout: 180_000 }, async () => {
  const { recruiter } = stage;
  const { page: desk } = recruiter;
  const candidate = await person(stage.browser, 'late');
  const { page } = candidate;
  const sessionId = await invite(recruiter, 'Jonas Weber');
  const end = await moment(recruiter, (await session(sessionId)).join_by);
  await signIn(candidate, 'jonas@demo.test');
  await page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  // Somebody who is still reading when it ends.
  await page.goto(roomUrl(sessionId));
  await agree(candidate);
  await checkDevices(candidate, { camera: false });
  // The page looks every few seconds whether it is still open. It gets no answer until Start is pressed, so that this
  // is about somebody who presses Start before the page knows.
  const looks = [];
  await page.route(`**/api/sessions/${sessionId}`, (route) => void looks.push(route));
  await eventually('it expires', async () => (await session(sessionId)).phase === 'completed', { timeoutMs: 90_000 });
  await page.getByTestId('start-interview').click();
  await page.unroute(`**/api/sessions/${sessionId}`);
  await Promise.all(looks.map((route) => route.continue().catch(() => undefined)));
  await page.getByRole('heading', { name: 'This invitation has expired' }).waitFor();
  await page.getByTestId('closed').getByText(`open until ${end}`).waitFor();
  await page.getByTestId('closed').getByText('ask for another').waitFor();
  await shoot(candidate, '77-expired', ON_REQUEST);
  await page.reload();
  await page.getByRole('heading', { name: 'This invitation has expired' }).waitFor();
  await page.getByRole('link', { name: 'Your interviews' }).click();
  const mine = page.getByTestId('interview').filter({ has: page.getByTestId('expired') });
  await mine.getByText(`expired on ${end}`).waitFor();
  await mine.getByText('Expired', { exact: true }).waitFor();
  await shoot(candidate, '78-expired-in-list', ON_REQUEST);

  await desk.goto(`${BASE_URL}/#/console`);
  const row = desk.locator(`[data-session="${sessionId}"]`);
  await row.getByText('Expired', { exact: true }).waitFor();
  await row.getByText(`Was open until ${end}`).waitFor();
  await shoot(recruiter, '79-list', ON_REQUEST);
  await detail(sessionId);
  await desk.getByTestId('expired').getByText(`expired on ${end}`).waitFor();
  assert.equal(await desk.getByTestId('extend').count(), 0);
  await shoot(recruiter, '80-expired', ON_REQUEST);
  // Another one, for the same person and position.
  await desk.getByTestId('invite-again').click();
  const dialog = desk.getByRole('dialog');
  await eventually('the same candidate is chosen', async () =>
    (await dialog.getByLabel('Candidate').locator('option:checked').textContent()).includes('Jonas Weber'));
  await dialog.getByTestId('create').click();
  await dialog.getByTestId('join-by').waitFor();
  assert.notEqual((await dialog.getByTestId('join-link').textContent()).trim().split('/').at(-1), sessionId);
  assert.deepEqual([...candidate.complaints, ...recruiter.complaints], []);
  await candidate.context.close();
});
