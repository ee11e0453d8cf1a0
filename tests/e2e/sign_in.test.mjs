// Ways in and out: a wrong password, a code by mail, signing out.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BASE_URL, launch, person } from './lib/browser.mjs';
import { sandbox } from './lib/sandbox.mjs';
import { eventually } from './lib/wait.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
});

test('a wrong password is refused in words, and a code by mail lets in', { timeout: 60_000 }, async () => {
  const { page, complaints } = await person(browser, 'mei');
  await page.goto(`${BASE_URL}/`);
  await page.getByLabel('Email').fill('mei@demo.test');
  await page.getByLabel('Password').fill('not-the-password');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('alert').waitFor();

  const startedAt = new Date().toISOString();
  await page.getByRole('button', { name: 'Sign in with a code by email instead' }).click();
  await page.getByRole('button', { name: 'Send me a code' }).click();
  await page.getByLabel('Code from the email').waitFor();
  const mail = await eventually('the mail', async () =>
    (await sandbox.mail()).findLast((each) => each.to === 'mei@demo.test' && each.at > startedAt),
  );
  await page.getByLabel('Code from the email').fill(mail.code);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('heading', { name: 'Your interviews' }).waitFor();

  await page.reload();
  await page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Welcome' }).waitFor();
  assert.deepEqual(complaints, []);
});

test('a candidate cannot look into the console', { timeout: 60_000 }, async () => {
  const { page } = await person(browser, 'amara');
  await page.goto(`${BASE_URL}/`);
  await page.getByTestId('sign-in-amara@demo.test').click();
  await page.getByRole('heading', { name: 'Your interviews' }).waitFor();
  await page.goto(`${BASE_URL}/#/console`);
  await page.getByText('This page does not exist').waitFor();
});
