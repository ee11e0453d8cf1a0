// What people do, in words a reader of a test understands.
import assert from 'node:assert/strict';
import { BASE_URL } from './browser.mjs';
import { eventually } from './wait.mjs';

export async function signIn({ page }, email) {
  await page.goto(`${BASE_URL}/`);
  await page.getByTestId(`sign-in-${email}`).click();
}

/** The recruiter creates an interview by clicks. Returns its id. */
export async function createInterview({ page }, candidateName, { minutes = 10 } = {}) {
  await page.getByTestId('new-interview').click();
  const dialog = page.getByRole('dialog');
  const option = dialog.getByLabel('Candidate').locator('option', { hasText: candidateName });
  await option.waitFor({ state: 'attached' });
  await dialog.getByLabel('Candidate').selectOption(await option.getAttribute('value'));
  await dialog.getByLabel('Position').selectOption({ label: 'Product Designer' });
  await dialog.getByLabel('Length').selectOption({ label: `${minutes} minutes` });
  await dialog.getByTestId('create').click();
  const link = await dialog.getByTestId('join-link').textContent();
  const sessionId = /#\/room\/([0-9a-f-]{36})$/.exec(link.trim())?.[1];
  assert.ok(sessionId, `the join link names a session: ${link}`);
  return sessionId;
}

export async function agree({ page }) {
  await page.getByTestId('consent-ai_evaluation').check();
  await page.getByTestId('consent-recording').check();
  await page.getByTestId('consent-continue').click();
}

export async function checkDevices({ page }, { camera = true } = {}) {
  await page.getByTestId('start-interview').waitFor();
  await eventually('the meter hears the microphone', async () => {
    await page.evaluate(() => window.__say(300)).catch(() => undefined);
    return page.getByText('We can hear you').isVisible();
  });
  if (camera) {
    await page.getByTestId('camera-toggle').click();
    await page.getByLabel('Your camera picture').waitFor();
  }
}

export const mood = ({ page }) => page.getByTestId('presence').getAttribute('data-mood');
export const settled = ({ page }, speaker) =>
  page.locator(`[data-testid="caption-${speaker}"][data-settled="true"]`).count();
const finished = ({ page }) => page.getByTestId('finished').isVisible();

/** Waits until the interviewer has said something new and is quiet again, or the interview is over. */
export async function interviewerHasSpoken(candidate, alreadySaid, timeoutMs = 60_000) {
  return eventually(
    'the interviewer speaks and stops',
    async () => {
      if (await finished(candidate)) return 'over';
      const state = await candidate.page.getByTestId('room').getAttribute('data-state');
      if (state !== 'live' || (await mood(candidate)) !== 'waiting') return null;
      return (await settled(candidate, 'ai')) > alreadySaid ? 'your turn' : null;
    },
    { timeoutMs },
  );
}

/** Makes a sound and waits until its scripted words stand in the captions. */
export async function answer(candidate, ms = 1_600) {
  const before = await settled(candidate, 'candidate');
  await candidate.page.evaluate((length) => window.__say(length), ms);
  return eventually(
    'the answer appears in the captions',
    async () => (await finished(candidate)) || (await settled(candidate, 'candidate')) > before,
  );
}

export const roomUrl = (sessionId) => `${BASE_URL}/#/room/${sessionId}`;

export const live = ({ page }) =>
  page.locator('[data-testid="room"][data-state="live"]').waitFor({ timeout: 60_000 });

/** A recruiter who is signed in invites someone. */
export async function invite(recruiter, candidateName) {
  await recruiter.page.goto(`${BASE_URL}/#/console`);
  const sessionId = await createInterview(recruiter, candidateName);
  await recruiter.page.getByTestId('done').click();
  return sessionId;
}

/** From signing in to the live call. */
export async function enter(candidate, email, sessionId) {
  await signIn(candidate, email);
  await candidate.page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await candidate.page.goto(roomUrl(sessionId));
  await agree(candidate);
  await checkDevices(candidate, { camera: false });
  await candidate.page.getByTestId('start-interview').click();
  await live(candidate);
}

/** Back into an interview that has begun, without agreeing a second time. */
export async function comeBack(candidate) {
  await candidate.page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  await checkDevices(candidate, { camera: false });
  await candidate.page.getByTestId('start-interview').click();
  await live(candidate);
}

/** One question, one answer. */
export async function oneTurn(candidate, said) {
  assert.equal(await interviewerHasSpoken(candidate, said, 90_000), 'your turn');
  const now = await settled(candidate, 'ai');
  await answer(candidate);
  return now;
}

/** The candidate ends it. */
export async function end(candidate) {
  await candidate.page.getByTestId('end').click();
  await candidate.page.getByTestId('confirm-end').click();
  await candidate.page.locator('[data-testid="finished"][data-state="ended"]').waitFor({ timeout: 60_000 });
  await candidate.page.locator('[data-testid="upload"][data-recording="stored"]').waitFor({ timeout: 60_000 });
}
