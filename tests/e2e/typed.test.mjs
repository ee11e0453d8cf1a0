// A candidate answers in writing: by keyboard alone, over a lost line and a reload, on a narrow phone.
import assert from 'node:assert/strict';
import { BASE_URL, ON_REQUEST, person, scene, shoot } from './lib/browser.mjs';
import { comeBack, enter, interviewerHasSpoken, invite, settled } from './lib/steps.mjs';
import { openStage } from './lib/stage.mjs';
import { eventually } from './lib/wait.mjs';

const stage = openStage();
const ANSWER = 'I led the rebuild.\nAlone, and <b>in writing</b>.';

const focused = ({ page }) => page.evaluate(() => document.activeElement?.dataset.testid ?? '');
const status = ({ page }, words) => page.getByTestId('typed-status').getByText(words).waitFor();

scene('an answer in writing is kept, sent, answered and shown as written', { timeout: 300_000 }, async () => {
  const candidate = await person(stage.browser, 'typed');
  const { page } = candidate;
  const sessionId = await invite(stage.recruiter, 'Mei Tanaka');
  await enter(candidate, 'mei@demo.test', sessionId);
  assert.equal(await interviewerHasSpoken(candidate, 0), 'your turn');
  await shoot(candidate, 'closed', ON_REQUEST);

  // By keyboard: open, a new line, close, open again.
  await page.getByTestId('type-instead').focus();
  await page.keyboard.press('Enter');
  await page.getByTestId('typed-answer').waitFor();
  assert.equal(await focused(candidate), 'typed-answer');
  assert.ok(await page.getByTestId('send-typed').isDisabled(), 'there is nothing to send');
  await page.keyboard.type('I led the rebuild.');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('Alone, and <b>in writing</b>.');
  await page.keyboard.press('Escape');
  await page.getByTestId('type-box').waitFor({ state: 'hidden' });
  assert.equal(await focused(candidate), 'type-instead');
  await page.keyboard.press('Enter');
  assert.equal(await page.getByTestId('typed-answer').inputValue(), ANSWER);
  await shoot(candidate, 'draft', { all: true });
  await page.setViewportSize({ width: 320, height: 640 });
  await shoot(candidate, 'draft-320');
  const overflows = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert.ok(!overflows, 'nothing is wider than the phone');
  await page.setViewportSize({ width: 1440, height: 900 });

  // Too much of it.
  await page.getByTestId('typed-answer').fill('x'.repeat(4_001));
  await status(candidate, 'Too long: 4001 of 4000');
  assert.ok(await page.getByTestId('send-typed').isDisabled());
  await page.getByTestId('typed-answer').fill(ANSWER);

  // The link is away for a while: it is sent when that is back.
  const said = await settled(candidate, 'ai');
  let refused = 0;
  await page.route('**/api/sessions/*/ticket', (route) => (++refused <= 2 ? route.abort() : route.continue()));
  await page.evaluate(() => window.__sockets.at(-1).close(3001, 'test'));
  await page.getByTestId('typed-answer').focus();
  await page.keyboard.press('Enter');
  await status(candidate, 'sent when it is back');
  await shoot(candidate, 'waits', ON_REQUEST);
  await status(candidate, 'Sent.');
  await page.unroute('**/api/sessions/*/ticket');
  assert.equal(await page.getByTestId('typed-answer').inputValue(), '');
  assert.equal(await focused(candidate), 'typed-answer');
  const written = page.locator('[data-testid="caption-candidate"][data-typed="true"]');
  await written.getByText('Alone, and <b>in writing</b>.').waitFor();
  await written.getByText('You, in writing').waitFor();
  await eventually('the interviewer answers', async () => (await settled(candidate, 'ai')) > said, { timeoutMs: 60_000 });
  await shoot(candidate, 'answered', { all: true });

  // A reload keeps what is being written.
  await page.getByTestId('typed-answer').fill('Half a sent');
  await page.reload();
  await comeBack(candidate);
  assert.equal(await page.getByTestId('typed-answer').inputValue(), 'Half a sent');
  assert.equal(await page.locator('[data-testid="caption-candidate"][data-typed="true"]').count(), 1, 'once');

  // Whoever reads it is told.
  const reader = stage.recruiter.page;
  await reader.goto(`${BASE_URL}/#/console/sessions/${sessionId}`);
  const entry = reader.getByTestId('entry-candidate').filter({ hasText: 'I led the rebuild.' });
  await entry.getByTestId('typed').waitFor();
  assert.equal(await entry.count(), 1);
  await shoot(stage.recruiter, 'typed-entry', { all: true });
  assert.deepEqual(candidate.complaints, []);
  await candidate.context.close();
});
