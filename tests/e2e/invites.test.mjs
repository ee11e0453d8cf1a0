// An invite by mail: a candidate without an account reads it, opens its link and is interviewed.
import assert from 'node:assert/strict';
import { BASE_URL, ON_REQUEST, person, scene, shoot } from './lib/browser.mjs';
import { sandbox } from './lib/sandbox.mjs';
import { openStage } from './lib/stage.mjs';
import { agree, checkDevices, comeBack, end, interviewerHasSpoken, live, oneTurn } from './lib/steps.mjs';
import { eventually } from './lib/wait.mjs';

const stage = openStage();

/** The recruiter fills the form in and sends it. Returns the link that is shown once, and its row. */
async function inviteByMail({ page }, candidate) {
  await page.goto(`${BASE_URL}/#/console/invites`);
  await page.getByTestId('invite-row').or(page.getByTestId('no-invites')).first().waitFor();
  const ids = () => page.getByTestId('invite-row').evaluateAll((rows) => rows.map((row) => row.dataset.invite));
  const before = await ids();
  await page.getByTestId('new-invite').click();
  const dialog = page.getByRole('dialog');
  const choose = async (label, text) => {
    const option = dialog.getByLabel(label, { exact: true }).locator('option', { hasText: text });
    await option.waitFor({ state: 'attached' });
    await dialog.getByLabel(label, { exact: true }).selectOption(await option.getAttribute('value'));
  };
  await choose('Candidate', candidate);
  await choose('Position', 'Senior Software Engineer');
  await dialog.getByLabel('The candidate’s time zone').selectOption('Asia/Tokyo');
  await dialog.getByTestId('closes-there').getByText('(Asia/Tokyo)').waitFor();
  await dialog.getByLabel('Length').selectOption({ label: '10 minutes' });
  await shoot({ page, name: 'recruiter' }, '90-new-invite', ON_REQUEST);
  await dialog.getByTestId('create-invite').click();
  const link = (await dialog.getByTestId('invite-link').textContent()).trim();
  await dialog.getByTestId('done').click();
  const id = await eventually('it is in the list', async () => (await ids()).find((each) => !before.includes(each)));
  return { link, row: page.locator(`[data-invite="${id}"]`) };
}

/** The link in the newest mail to this address. */
async function mailedLink(address, number) {
  const mail = await eventually('the mail arrives', async () => (await sandbox.mailbox(address))[number - 1] ?? null);
  assert.match(mail.text, /Asia\/Tokyo/);
  return /^https?:\/\/\S+\/#\/i\/\S+$/m.exec(mail.text)[0];
}

/** The position has a plan: the candidate may take a moment, and says when it is over. */
async function aMomentToThink(candidate) {
  const { page } = candidate;
  assert.equal(await interviewerHasSpoken(candidate, 0, 90_000), 'your turn');
  await page.getByTestId('think').click();
  await page.locator('[data-testid="waiting-notice"][data-state="thinking"]').waitFor();
  await shoot(candidate, '94-thinking', ON_REQUEST);
  await page.getByTestId('stop-thinking').click();
  await page.locator('[data-testid="waiting-notice"]').waitFor({ state: 'detached' });
}

const stands = (row, state) => row.and(row.page().locator(`[data-state="${state}"]`)).waitFor({ timeout: 60_000 });

scene('a candidate without an account comes by mail, is interviewed, and comes back on another device', { timeout: 300_000 }, async () => {
  const { recruiter } = stage;
  const before = (await sandbox.mailbox('amara@demo.test')).length;
  const { link: shown, row } = await inviteByMail(recruiter, 'Amara Okafor');
  const link = await mailedLink('amara@demo.test', before + 1);
  assert.notEqual(link, shown, 'each has a link of its own');
  await stands(row, 'sent');
  await shoot(recruiter, '91-invites', ON_REQUEST);

  const candidate = await person(stage.browser, 'guest');
  const { page } = candidate;
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  // What only looks at it spends nothing.
  await page.goto(link);
  await page.getByRole('heading', { name: 'Senior Software Engineer' }).waitFor();
  await page.reload();
  await page.getByTestId('invite-open').getByText('(Asia/Tokyo)').first().waitFor();
  await shoot(candidate, '92-invite', ON_REQUEST);
  await stands(row, 'opened');
  await page.getByTestId('invite-start').focus();
  await page.keyboard.press('Enter');
  await agree(candidate);
  await checkDevices(candidate, { camera: false });
  await shoot(candidate, '93-check', ON_REQUEST);
  await page.getByTestId('start-interview').click();
  await live(candidate);
  await aMomentToThink(candidate);
  const said = await oneTurn(candidate, 0);
  // One answer, and the next question of the plan follows.
  assert.equal(await interviewerHasSpoken(candidate, said), 'your turn');
  assert.deepEqual(await sandbox.violations(), [], 'nothing of ours was refused by a vendor');
  await stands(row, 'started');

  // That device is gone. Another one, by the link that the recruiter was shown: the same interview goes on.
  await candidate.context.close();
  const other = await person(stage.browser, 'guest-elsewhere');
  await other.page.goto(shown);
  await other.page.getByTestId('invite-open').getByText('Your interview waits for you').waitFor();
  await other.page.getByTestId('invite-start').click();
  // What was agreed to is kept on the first device.
  await agree(other);
  await comeBack(other);
  await oneTurn(other, said);
  await end(other);
  assert.equal(await other.page.getByRole('link', { name: 'Your interviews' }).count(), 0, 'there is no account to go to');

  // Spent, on both sides.
  await other.page.reload();
  await other.page.getByTestId('invite-finished').waitFor({ timeout: 60_000 });
  await shoot(other, '94-finished', ON_REQUEST);
  await stands(row, 'finished');
  const secret = link.split('/#/i/')[1];
  assert.ok(asked.length > 10 && asked.every((url) => !url.includes(secret)), 'the secret is in no address that is asked for');
  assert.deepEqual([...candidate.complaints, ...other.complaints, ...recruiter.complaints], []);
  await other.context.close();
});

scene('an invite that was revoked says so, and one that is opened again works', { timeout: 120_000 }, async () => {
  const { recruiter } = stage;
  const { page: desk } = recruiter;
  const { link, row: mine } = await inviteByMail(recruiter, 'Jonas Weber');
  await mine.getByTestId('invite-revoke').click();
  await desk.getByTestId('change-reason').fill('the position is filled');
  await shoot(recruiter, '95-revoke', ON_REQUEST);
  await desk.getByTestId('confirm-change').click();
  await mine.getByText('Revoked').waitFor();

  const candidate = await person(stage.browser, 'revoked');
  await candidate.page.goto(link);
  await candidate.page.getByTestId('invite-revoked').waitFor();
  assert.equal(await candidate.page.getByTestId('invite-start').count(), 0);
  await shoot(candidate, '96-revoked', ON_REQUEST);
  await mine.getByTestId('invite-reopen').click();
  await desk.getByTestId('change-reason').fill('a place is free');
  await desk.getByTestId('confirm-change').click();
  await mine.getByTestId('invite-extend').waitFor();
  await candidate.page.reload();
  await candidate.page.getByTestId('invite-start').waitFor();

  // A link that was cut.
  await candidate.page.goto(`${link.slice(0, -5)}`);
  await candidate.page.getByRole('heading', { name: 'This link leads nowhere' }).waitFor();
  await shoot(candidate, '97-unknown', ON_REQUEST);
  // The list is searched on the server.
  await desk.getByTestId('invite-search').fill('nobody has this name');
  await desk.getByTestId('no-invites').getByText('Nothing matches').waitFor();
  assert.deepEqual([...candidate.complaints, ...recruiter.complaints], []);
  await candidate.context.close();
});
