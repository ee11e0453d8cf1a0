// An invite by mail: a candidate without an account reads it, opens its link and is interviewed.
import assert from 'node:assert/strict';
import { BASE_URL, ON_REQUEST, person, scene, shoot } from './lib/browser.mjs';
import { sandbox } from './lib/sandbox.mjs';
import { openStage } from './lib/stage.mjs';
import { agree, checkDevices, comeBack, end, interviewerHasSpoken, live, oneTurn } from './lib/steps.mjs';
import { eventually } from './lib/wait.mjs';

const stage = openStage();
const PHONES = [390, 320];

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
  // Its plan takes longer than the ten minutes that a test has.
  await dialog.getByTestId('plan-hint').getByText('Senior software engineer').waitFor();
  await dialog.getByLabel('Length').selectOption({ label: '10 minutes' });
  await dialog.getByTestId('too-short').waitFor();
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

/** Nothing of a page lies beside a phone's window. */
async function notTooWide(page) {
  const before = page.viewportSize();
  for (const width of PHONES) {
    await page.setViewportSize({ width, height: 844 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${page.url()} is ${wide} wide in a window of ${width}`);
  }
  await page.setViewportSize(before);
}

/** Every button of the room is whole, and lies within the window and over no other; there is room for the words. */
async function fitsOnAPhone({ page, name }, step) {
  const before = page.viewportSize();
  for (const width of PHONES) {
    await page.setViewportSize({ width, height: 844 });
    const buttons = await page.locator('footer .control').evaluateAll((all) =>
      all.map((one) => {
        const { left, right, top, bottom } = one.getBoundingClientRect();
        return { text: one.textContent.trim(), left, right, top, bottom, cut: one.scrollWidth > one.clientWidth };
      }),
    );
    assert.equal(buttons.length, 5);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    const { height } = await page.locator('main > .words').boundingBox();
    assert.ok(wide <= width && height > 120, `${width}: the page is ${wide} wide, its words ${height} high`);
    if (ON_REQUEST.all) {
      for (const colorScheme of ['dark', 'light']) {
        await page.emulateMedia({ colorScheme });
        await shoot({ page, name }, `${step}-${width}-${colorScheme}`);
      }
    }
    for (const one of buttons) {
      assert.ok(!one.cut && one.left >= 0 && one.right <= width, `${width}: ${JSON.stringify(one)}`);
      const over = (other) => other !== one && one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
      assert.ok(!buttons.some(over), `${width}: ${JSON.stringify(buttons)}`);
    }
  }
  await page.setViewportSize(before);
}

/** The position has a plan: the candidate may take a moment, and says when it is over. */
async function aMomentToThink(candidate) {
  const { page } = candidate;
  assert.equal(await interviewerHasSpoken(candidate, 0, 90_000), 'your turn');
  await page.getByTestId('think').click();
  await page.locator('[data-testid="waiting-notice"][data-state="thinking"]').waitFor();
  await shoot(candidate, '94-thinking', ON_REQUEST);
  await fitsOnAPhone(candidate, '94-thinking');
  await page.getByTestId('stop-thinking').click();
  await page.locator('[data-testid="waiting-notice"]').waitFor({ state: 'detached' });
}

/** The page is told this of its invite, beside what is true. */
const standsLike = (page, told) =>
  page.route('**/api/invite/open', async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), ...told } });
  });

const stands = (row, state) => row.and(row.page().locator(`[data-state="${state}"]`)).waitFor({ timeout: 60_000 });

/** What became of the plan, for who reviews: asked in its words, a moment to think, and what was left out. */
async function howItWasHeld(recruiter, row) {
  const { page } = recruiter;
  await row.getByRole('link', { name: 'See the interview' }).click();
  const record = page.getByTestId('conduct');
  const first = record.getByTestId('conduct-question').first();
  await first.getByText('Asked as written').waitFor({ timeout: 60_000 });
  await first.getByText('thought once').waitFor();
  await record.getByTestId('conduct-pauses').getByText('A moment to think').waitFor();
  await record.getByTestId('conduct-deviations').getByText('was not asked').first().waitFor();
  await record.scrollIntoViewIfNeeded();
  await shoot(recruiter, '98-conduct', ON_REQUEST);
  await first.getByRole('button', { name: 'Show' }).click();
  await eventually('the question is shown in the conversation', () =>
    page.evaluate(() => document.activeElement?.id.startsWith('entry-')));
}

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
  // One end: the invite's, in the candidate's zone, and not the one of this interview.
  await page.getByTestId('join-by').getByText('(Asia/Tokyo)').waitFor();
  await agree(candidate);
  await checkDevices(candidate, { camera: false });
  await page.getByTestId('join-by').getByText('(Asia/Tokyo)').waitFor();
  await shoot(candidate, '93-check', ON_REQUEST);
  await page.getByTestId('start-interview').click();
  await live(candidate);
  await aMomentToThink(candidate);
  const said = await oneTurn(candidate, 0);
  // One answer, and the next question of the plan follows.
  assert.equal(await interviewerHasSpoken(candidate, said), 'your turn');
  assert.deepEqual(await sandbox.violations(), [], 'nothing of ours was refused by a vendor');
  await stands(row, 'started');
  await stage.recruiter.page.goto(`${BASE_URL}/#/console`);
  await stage.recruiter.page.getByTestId('session-row').filter({ hasText: 'Amara Okafor' }).first().getByText('By an invite').waitFor();
  await notTooWide(stage.recruiter.page);
  await stage.recruiter.page.goto(`${BASE_URL}/#/console/invites`);

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
  await howItWasHeld(recruiter, row);
  const secret = link.split('/#/i/')[1];
  assert.ok(asked.length > 10 && asked.every((url) => !url.includes(secret)), 'the secret is in no address that is asked for');
  assert.deepEqual([...candidate.complaints, ...other.complaints, ...recruiter.complaints], []);
  await other.context.close();
});

scene('an invite that was revoked says so, and one that is opened again works', { timeout: 120_000 }, async () => {
  const { recruiter } = stage;
  const { page: desk } = recruiter;
  const { link, row: mine } = await inviteByMail(recruiter, 'Jonas Weber');
  await notTooWide(desk);
  // Another link, which is copied and not made once more.
  await mine.getByTestId('invite-link').click();
  await desk.getByTestId('confirm-change').click();
  const another = desk.getByRole('dialog').getByTestId('invite-link');
  const told = await another.textContent();
  await desk.getByRole('button', { name: 'Copy link' }).click();
  await desk.getByRole('button', { name: /Copied|not allowed/ }).waitFor();
  assert.equal(await another.textContent(), told);
  await desk.getByRole('button', { name: 'Done' }).click();
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

  // What takes twenty interviews, or a moment that is hard to meet, to happen.
  for (const [told, what] of [
    [{ state: 'exhausted' }, 'invite-exhausted'],
    [{ state: 'started', resumes: false }, 'invite-storing'],
  ]) {
    await standsLike(candidate.page, told);
    await candidate.page.reload();
    await candidate.page.getByTestId(what).waitFor();
    assert.equal(await candidate.page.getByTestId('invite-start').count(), 0, what);
    await shoot(candidate, `98-${what}`, ON_REQUEST);
    await candidate.page.unrouteAll({ behavior: 'wait' });
  }
  // The page of one that is being stored looks again by itself.
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
