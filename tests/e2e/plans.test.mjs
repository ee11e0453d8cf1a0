// A plan in its pages: written in the form or added from a file, checked, mended, published, taken out of use.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { startSandbox } from './lib/own_sandbox.mjs';

// One of its own: other files count on the plans that are there.
const own = await startSandbox([]);
process.env.BASE_URL = own.url;
const { ON_REQUEST, scene, shoot } = await import('./lib/browser.mjs');
const { openStage } = await import('./lib/stage.mjs');

const stage = openStage(own.stop);
const SAMPLE = fileURLToPath(new URL('../../config/plans/customer_success_ja.json', import.meta.url));

/** Where somebody looks at the position, or sets an interview up for it. Ends on the plan's page. */
async function seenElsewhere(title) {
  const { page } = stage.recruiter;
  const plan = page.url();
  const main = page.getByRole('navigation', { name: 'Main' });
  await main.getByRole('link', { name: 'Positions' }).click();
  const row = page.getByTestId('record').filter({ hasText: 'Product Designer' });
  await row.getByTestId('plan-of').getByText(title).waitFor();
  await row.getByRole('link', { name: 'Product Designer' }).click();
  await page.getByTestId('position-plan').getByText(title).waitFor();
  await page.getByTestId('history').getByText('History').click();
  await page.getByTestId('history').getByText('Given a plan, in version 1').waitFor();
  await shoot(stage.recruiter, '98-position-with-plan', ON_REQUEST);

  await main.getByRole('link', { name: 'Interviews' }).click();
  await page.getByTestId('new-interview').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Position').selectOption({ label: 'Product Designer' });
  await dialog.getByTestId('plan-hint').getByText(title).waitFor();
  const options = (label) => dialog.getByLabel(label).locator('option').allTextContents();
  assert.deepEqual(await options('Language'), ['Japanese'], 'no language that the plan does not have');
  assert.match(await dialog.getByLabel('Length').locator('option:checked').textContent(), /^As the plan/);
  await dialog.getByLabel('Length').selectOption({ label: '10 minutes' });
  await dialog.getByTestId('too-short').waitFor();
  await shoot(stage.recruiter, '99-new-interview-with-plan', ON_REQUEST);
  await dialog.getByLabel('Length').selectOption('0');
  await dialog.getByLabel('Candidate').selectOption({ index: 1 });
  await dialog.getByTestId('create').click();
  const link = (await dialog.getByTestId('join-link').textContent()).trim();
  await dialog.getByTestId('done').click();
  await page.goto(link.replace('#/room/', '#/console/sessions/'));
  await page.getByTestId('session-plan').getByText(title).waitFor();
  await page.goto(plan);
  await page.getByTestId('user').filter({ hasText: 'Product Designer' }).waitFor();
}

/** What the simulated candidates find in the draft that is shown. */
async function rehearsed() {
  const { page } = stage.recruiter;
  const panel = page.getByTestId('rehearsal');
  await panel.getByTestId('rehearsal-empty').waitFor();
  const button = panel.getByTestId('rehearse');
  await button.focus();
  await page.keyboard.press('Enter');
  await panel.getByTestId('rehearsal-summary').getByText('Not passed.').waitFor();
  const finding = panel.getByTestId('rehearsal-finding').and(page.locator('[data-code="forbidden_topic"]'));
  await finding.first().waitFor();
  assert.equal(await panel.getByTestId('persona').count(), 12);
  await panel.getByTestId('persona').and(page.locator('[data-persona="silent"]')).getByText('Time limit').waitFor();
  await panel.getByTestId('misbehaving').getByText('13 ways').waitFor();
  await panel.scrollIntoViewIfNeeded();
  await shoot(stage.recruiter, '96b-plan-rehearsal', ON_REQUEST);
  const size = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 720 });
  await page.emulateMedia({ colorScheme: 'dark' });
  const wide = await panel.evaluate((node) => node.scrollWidth - node.clientWidth);
  assert.ok(wide <= 0, `${wide} px too wide for a phone`);
  await shoot(stage.recruiter, '96c-plan-rehearsal-phone-dark', ON_REQUEST);
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(size);
}

scene('a plan is added, mended, published and archived', { timeout: 120_000 }, async () => {
  const { page } = stage.recruiter;
  const bad = JSON.parse(await readFile(SAMPLE, 'utf8'));
  bad.opening.spoken.ja = '年齢を教えてください。';
  const file = join(tmpdir(), `plan-${process.pid}.json`);
  await writeFile(file, JSON.stringify(bad));

  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Plans' }).click();
  // The demo's position has one.
  await page.getByTestId('record').filter({ hasText: 'Senior software engineer' }).getByText('Version 1').waitFor();
  await shoot(stage.recruiter, '95-plans', ON_REQUEST);
  await page.getByTestId('plan-file').setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from('no') });
  await page.getByTestId('problem').getByText('This file is not JSON.').waitFor();
  // An error names the line that its author sees.
  const lines = (await readFile(SAMPLE, 'utf8')).split('\n');
  const wrong = lines.findIndex((line) => line.includes('"kind": "core"'));
  lines[wrong] = lines[wrong].replace('"core"', '"cora"');
  const buffer = Buffer.from(lines.join('\n'));
  await page.getByTestId('plan-file').setInputFiles({ name: 'y.json', mimeType: 'application/json', buffer });
  await page.getByTestId('problem').getByText(`at line ${wrong + 1} column`).waitFor();
  await page.getByTestId('plan-file').setInputFiles(file);

  // What is wrong keeps it from being published.
  const finding = page.getByTestId('finding').filter({ hasText: 'must not bring up age' });
  await finding.getByRole('button', { name: 'Opening' }).click();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'plan-opening-spoken');
  assert.equal(await page.getByTestId('publish').isDisabled(), true);
  await shoot(stage.recruiter, '96-plan-findings', ON_REQUEST);
  await page.getByTestId('view-read').check({ force: true });
  await page.getByTestId('document').getByText('年齢を教えてください。').waitFor();
  await page.getByTestId('plan-competency').first().getByText('Anchor 3').waitFor();
  await rehearsed();
  await page.getByTestId('view-form').check({ force: true });
  await page.getByTestId('plan-file').setInputFiles(SAMPLE);
  await page.getByTestId('findings').getByText('The draft can be published.').waitFor();
  const panel = page.getByTestId('rehearsal');
  await panel.getByTestId('rehearsal-outdated').waitFor();
  await panel.getByTestId('rehearse').click();
  await panel.getByTestId('rehearsal-summary').getByText('Passed.', { exact: true }).waitFor();
  assert.equal(await panel.getByTestId('rehearsal-outdated').count(), 0);

  await page.getByTestId('publish').click();
  await page.getByTestId('publish-now').click();
  await page.getByTestId('flash').getByText('Version 1 is published.').waitFor();
  await page.getByTestId('version').getByText('Version 1').waitFor();
  await shoot(stage.recruiter, '97-plan-published', ON_REQUEST);
  // From now on interviews for a position use it.
  await page.getByTestId('position').selectOption({ label: 'Product Designer' });
  await page.getByTestId('use').click();
  await page.getByTestId('user').filter({ hasText: 'Product Designer' }).getByText('Version 1').waitFor();
  // Another plan is not replaced without a word.
  await page.getByTestId('position').selectOption({ label: 'Senior Software Engineer' });
  await page.getByTestId('replaces').getByText('Senior software engineer').waitFor();
  assert.equal(await page.getByTestId('use').textContent(), 'Replace its plan');
  await seenElsewhere(bad.title);
  await page.getByTestId('user').getByRole('button', { name: 'Take it away' }).click();
  await page.getByTestId('users').getByText('None yet.').waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('download').click()]);
  assert.equal(JSON.parse(await readFile(await download.path(), 'utf8')).title, bad.title);

  await page.getByTestId('archive').click();
  await page.getByTestId('archived').waitFor();
  await page.getByTestId('restore').click();
  await page.getByTestId('publish').waitFor();

  // One that a position uses stays.
  await page.getByRole('link', { name: 'Plans' }).first().click();
  await page.getByTestId('record').filter({ hasText: 'Senior software engineer' }).getByRole('link').click();
  await page.getByTestId('archive').click();
  await page.getByTestId('problem').getByText('A position uses this plan.').waitFor();
});

/** What the form says about itself. */
const stateIs = (page, state) => page.locator(`[data-testid="save-state"][data-state="${state}"]`).waitFor();

scene('a plan is written in the form, checked while it is written, and published with what changes', { timeout: 90_000 }, async () => {
  const { page } = stage.recruiter;
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Plans' }).click();
  // The samples to begin from have no fault, in each of their languages.
  const { access_token: token } = await page.evaluate(() => JSON.parse(Object.values(localStorage).find((value) => value.includes('access_token'))));
  for (const language of ['en', 'de', 'ja']) {
    const body = await readFile(new URL(`../../web/app/assets/plan_start/${language}.json`, import.meta.url));
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const { findings } = await (await fetch(`${own.url}/api/plans/lint`, { method: 'POST', headers, body })).json();
    assert.deepEqual(findings, [], language);
  }
  await page.getByTestId('new-plan').click();
  await page.getByTestId('new-title').fill('Carpenter');
  await page.getByTestId('make-plan').click();
  await page.getByTestId('findings').getByText('The draft can be published.').waitFor();
  await shoot(stage.recruiter, '100-plan-form', ON_REQUEST);

  // By keyboard alone: a question is unfolded and gets words that the check refuses, at the field.
  const question = page.getByTestId('question').nth(1);
  await question.getByTestId('unfold').press('Enter');
  const words = page.getByTestId('field/sections/1/questions/0/spoken');
  await words.fill('How old are you?');
  await stateIs(page, 'unsaved');
  const finding = question.getByTestId('field-finding').filter({ hasText: 'must not bring up age' });
  await finding.waitFor();
  assert.equal(await words.getAttribute('aria-invalid'), 'true');
  assert.ok((await words.getAttribute('aria-describedby')).includes(await finding.locator('..').getAttribute('id')), 'the finding is told with the field');
  assert.equal(await page.getByTestId('publish').isDisabled(), true);
  await shoot(stage.recruiter, '101-plan-form-finding', ON_REQUEST);
  const wide = page.viewportSize();
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 800 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing lies beside a window of ${width}`);
  }
  await page.setViewportSize(wide);
  // Away from the page only with a question.
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Positions' }).click();
  await page.getByTestId('stay').click();
  await words.fill('Please tell me about a piece of furniture that you built.');
  await page.getByTestId('findings').getByText('The draft can be published.').waitFor();

  // What was removed comes back, and what moved keeps the focus.
  await page.getByTestId('question').nth(2).getByTestId('unfold').press('Enter');
  await page.getByTestId('question').nth(2).getByRole('button', { name: /^Move up: Question 2/ }).press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'plan-sections-1-questions-0-down');
  await page.getByTestId('question').nth(1).getByRole('button', { name: /^Remove: Question 1/ }).press('Enter');
  assert.equal(await page.getByTestId('question').count(), 2);
  await page.getByTestId('toast-undo').press('Enter');
  assert.equal(await page.getByTestId('question').count(), 3);
  // A language is whole before it can be published.
  await page.getByTestId('add-language').selectOption('de');
  await page.getByTestId('language').filter({ hasText: '10 texts missing' }).waitFor();
  await page.getByTestId('language').filter({ hasText: 'German' }).getByTestId('remove-language').press('Enter');

  // The first version says what it has; what is unsaved is stored with it.
  await page.getByTestId('publish').click();
  await page.getByRole('dialog').getByText('The first version: 2 sections, 3 questions, 15 minutes, in English.').waitFor();
  await page.getByTestId('publish-now').click();
  await page.getByTestId('flash').getByText('Version 1 is published.').waitFor();
  await stateIs(page, 'saved');

  // In the meantime a colleague changes it elsewhere. Neither change is lost.
  const id = page.url().split('/').at(-1);
  const answer = await page.request.get(`${own.url}/api/plans/${id}`, { headers: { authorization: `Bearer ${token}` } });
  const { draft, revision } = await answer.json();
  const put = await page.request.put(`${own.url}/api/plans/${id}/draft`, {
    headers: { authorization: `Bearer ${token}`, 'if-match': `"${revision}"` },
    data: { ...draft, title: 'Master carpenter' },
  });
  assert.equal(put.status(), 200);
  await page.getByTestId('field/closing/spoken').fill('Thank you. Goodbye.');
  await page.keyboard.press('Control+s');
  await page.getByTestId('conflict').getByText('You have changed different places').waitFor();
  await shoot(stage.recruiter, '102-plan-form-conflict', ON_REQUEST);
  await page.getByTestId('keep-mine').click();
  await stateIs(page, 'saved');
  assert.equal(await page.getByTestId('field/title').inputValue(), 'Master carpenter');

  // The JSON is the same draft.
  await page.getByTestId('view-json').check({ force: true });
  const text = await page.getByTestId('json').inputValue();
  await page.getByTestId('json').fill(text.slice(0, -3));
  await page.getByTestId('json-problem').getByText('This is not JSON').waitFor();
  assert.equal(await page.getByTestId('save').isDisabled(), true);
  await page.getByTestId('json').fill(text.replace('"minutes": 15', '"minutes": 16'));
  await page.getByTestId('view-form').check({ force: true });
  assert.equal(await page.getByTestId('field/minutes').inputValue(), '16');
  await page.getByTestId('undo').click();
  assert.equal(await page.getByTestId('field/minutes').inputValue(), '15');

  // The second version says what is different from the first.
  await page.locator('[data-testid="findings"][data-checking="done"]').waitFor();
  await page.getByTestId('publish').click();
  const changes = page.getByRole('dialog').getByTestId('change');
  await changes.filter({ hasText: 'Title' }).getByText('Master carpenter').waitFor();
  await changes.filter({ hasText: 'Words in English' }).getByText('Thank you. Goodbye.').waitFor();
  assert.equal(await changes.count(), 2);
  await shoot(stage.recruiter, '103-plan-publish', ON_REQUEST);
  await page.getByTestId('publish-now').click();
  await page.getByTestId('flash').getByText('Version 2 is published.').waitFor();
  assert.deepEqual(stage.recruiter.complaints, []);
});
