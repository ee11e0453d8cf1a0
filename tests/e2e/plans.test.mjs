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
  await page.getByTestId('plan-file').setInputFiles(file);

  // What is wrong keeps it from being published.
  await page.getByTestId('finding').filter({ hasText: 'must not bring up age' }).waitFor();
  assert.equal(await page.getByTestId('publish').isDisabled(), true);
  await page.getByTestId('document').getByText('年齢を教えてください。').waitFor();
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
