// A plan in its pages: added from a file, checked, mended, published, taken out of use.
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
  assert.equal(await page.evaluate(() => document.activeElement.id), 'plan-opening');
  assert.equal(await page.getByTestId('publish').isDisabled(), true);
  await page.getByTestId('document').getByText('年齢を教えてください。').waitFor();
  await page.getByTestId('plan-competency').first().getByText('Anchor 3').waitFor();
  await shoot(stage.recruiter, '96-plan-findings', ON_REQUEST);
  await page.getByTestId('plan-file').setInputFiles(SAMPLE);
  await page.getByTestId('findings').getByText('The draft can be published.').waitFor();

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
