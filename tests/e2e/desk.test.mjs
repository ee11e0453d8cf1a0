// What a company makes by itself in its pages: a competency, a position that uses it, candidates one by one and from a
// file. And what the pages say when something is wrong, or would be lost.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { startSandbox } from './lib/own_sandbox.mjs';

// One of its own: other files count on the candidates that are there.
const own = await startSandbox([]);
process.env.BASE_URL = own.url;
const { BASE_URL, NARROW, ON_REQUEST, scene, shoot } = await import('./lib/browser.mjs');
const { createInterview } = await import('./lib/steps.mjs');
const { api } = await import('./lib/truth.mjs');
const { openStage } = await import('./lib/stage.mjs');
const { eventually } = await import('./lib/wait.mjs');

const stage = openStage(own.stop);

const field = (page, name) => page.getByTestId(`field-${name}`);
const record = (page, name) => page.getByTestId('record').filter({ hasText: name });
const goTo = (page, name) => page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name }).click();
const isFocused = (locator) => locator.evaluate((element) => element === document.activeElement);

scene('a competency and a position that uses it, by keyboard', { timeout: 120_000 }, async () => {
  const { page } = stage.recruiter;
  await page.getByRole('heading', { name: 'Interviews', exact: true }).waitFor();
  await goTo(page, 'Competencies');
  await page.getByTestId('empty').getByText('No competencies yet').waitFor();
  await shoot(stage.recruiter, '90-competencies-empty', ON_REQUEST);
  await page.getByTestId('add').click();

  // Nothing typed: said at the field, and focus is there.
  await page.getByTestId('save').click();
  await page.getByTestId('wrong-name').getByText('This must not be empty.').waitFor();
  await eventually('focus is on the field', () => isFocused(field(page, 'name')));
  assert.equal(await field(page, 'name').getAttribute('aria-invalid'), 'true');
  await page.keyboard.type('Technical depth');
  assert.equal(await page.getByTestId('wrong-name').count() + (await page.getByTestId('problem').count()), 0, 'it is mended');
  await page.keyboard.press('Tab');
  await page.keyboard.type('Explains why a system works.');
  for (const text of ['Names tools only', 'Explains one choice', 'Weighs choices and their cost']) {
    await page.keyboard.press('Tab');
    await page.keyboard.type(text);
  }
  await shoot(stage.recruiter, '91-competency', ON_REQUEST);
  await page.getByTestId('save').focus();
  await page.keyboard.press('Enter');
  await page.getByTestId('flash').getByText('Technical depth is saved.').waitFor();
  await record(page, 'Technical depth').getByText('No position').waitFor();

  await goTo(page, 'Positions');
  await record(page, 'Product Designer').waitFor();
  await page.getByTestId('add').click();
  await field(page, 'title').fill('Platform Engineer');
  await field(page, 'description').fill('Runs what everybody builds on.');
  await page.getByTestId('from-library').selectOption({ label: 'Technical depth' });
  assert.equal(await field(page, 'competencies[0].description').inputValue(), 'Explains why a system works.');
  await page.getByTestId('add-competency').click();
  await page.getByTestId('save').click();
  await page.getByTestId('wrong-competencies[1].name').waitFor();
  await field(page, 'competencies[1].name').fill('Calm under load');
  await page.getByTestId('competency').nth(1).getByRole('button', { name: 'Up' }).click();
  assert.equal(await field(page, 'competencies[0].name').inputValue(), 'Calm under load');
  await shoot(stage.recruiter, '92-position', ON_REQUEST);
  await page.getByTestId('save').click();
  await record(page, 'Platform Engineer').getByText('Calm under load').waitFor();
  await shoot(stage.recruiter, '93-positions', ON_REQUEST);
  await goTo(page, 'Competencies');
  await record(page, 'Technical depth').getByText('1 position').waitFor();
  await shoot(stage.recruiter, '94-competencies', ON_REQUEST);

  await record(page, 'Technical depth').getByRole('link').click();
  await page.getByTestId('history').locator('summary').click();
  await page.getByTestId('history').getByRole('listitem').filter({ hasText: 'Created' }).getByText('you').waitFor();

  // Another one like it, and this one away.
  await goTo(page, 'Positions');
  await record(page, 'Platform Engineer').getByRole('link').click();
  await page.getByTestId('duplicate').click();
  await record(page, 'Platform Engineer (copy)').getByRole('link').click();
  await page.getByTestId('archive').click();
  await page.getByTestId('flash').getByText('is archived').waitFor();
  assert.equal(await record(page, '(copy)').count(), 0);
  await page.getByTestId('state').selectOption('archived');
  await record(page, '(copy)').getByRole('link').click();
  await page.getByTestId('restore').click();
  await page.getByTestId('archive').waitFor();
  assert.deepEqual(stage.recruiter.complaints, []);
});

scene('a candidate, a search, a change that somebody else was quicker with', { timeout: 120_000 }, async () => {
  const { page } = stage.recruiter;
  await goTo(page, 'Candidates');
  await record(page, 'Amara Okafor').waitFor();
  await page.getByTestId('add').click();
  await field(page, 'name').fill('Zoë Quinn');
  await field(page, 'email').fill('zoe@');
  await field(page, 'tags').fill('berlin, senior, ');
  assert.equal(await field(page, 'tags').inputValue(), 'berlin, senior, ', 'nothing is changed while one types');

  // A step back asks; staying keeps what was typed.
  await page.goBack();
  await page.getByTestId('stay').click();
  assert.equal(await field(page, 'name').inputValue(), 'Zoë Quinn');
  await page.getByTestId('save').click();
  await page.getByTestId('wrong-email').getByText('is not an e-mail address').waitFor();
  await field(page, 'email').fill('amara@demo.test');
  await field(page, 'name').focus();
  await page.getByTestId('alike').getByText('Amara Okafor').waitFor();
  await shoot(stage.recruiter, '95-candidate', ON_REQUEST);
  await field(page, 'email').fill('zoe@demo.test');
  await page.getByTestId('save').click();
  await page.getByTestId('flash').getByText('Zoë Quinn is saved.').waitFor();

  await page.getByTestId('search').fill('quinn SENIOR');
  await eventually('only she is found', async () => (await page.getByTestId('record').count()) === 1);
  assert.match(page.url(), /q=quinn\+SENIOR/);
  await record(page, 'Zoë Quinn').getByRole('link').click();
  const id = /candidates\/([0-9a-f-]{36})/.exec(page.url())?.[1];
  assert.equal(await field(page, 'tags').inputValue(), 'berlin, senior');
  await page.goBack();
  await eventually('the search is still there', async () => (await page.getByTestId('search').inputValue()) === 'quinn SENIOR');
  await page.getByTestId('search').fill('nobody at all');
  await page.getByTestId('none-found').waitFor();
  await shoot(stage.recruiter, '96-none-found', ON_REQUEST);
  await page.getByRole('button', { name: 'Show all' }).click();
  await record(page, 'Zoë Quinn').getByRole('link').click();

  await field(page, 'name').fill('Zoë B. Quinn');
  const before = await api(`/candidates/${id}`);
  await api(`/candidates/${id}`, { method: 'PATCH', body: { tags: ['munich'] }, headers: { 'if-match': `"${before.version}"` } });
  await page.getByTestId('save').click();
  await page.getByTestId('conflict').getByText('(tags)').waitFor();
  await shoot(stage.recruiter, '97-conflict', ON_REQUEST);
  await page.getByTestId('take-theirs').click();
  assert.equal(await field(page, 'tags').inputValue(), 'munich');
  await field(page, 'name').fill('Zoë B. Quinn');
  await page.getByTestId('save').click();
  await record(page, 'Zoë B. Quinn').getByText('munich').waitFor();

  // A refusal of the service is said, and what was typed stays.
  await page.route('**/api/candidates', (route) => (route.request().method() === 'POST' ? route.abort() : route.continue()));
  await page.getByTestId('add').click();
  await field(page, 'name').fill('Lost Line');
  await field(page, 'email').fill('line@demo.test');
  await page.getByTestId('save').click();
  await page.getByTestId('problem').getByText('could not be reached').waitFor();
  await page.unrouteAll({ behavior: 'wait' });
  await page.getByTestId('save').click();
  await record(page, 'Lost Line').waitFor();
  assert.deepEqual(stage.recruiter.complaints, []);
});

scene('a list from a spreadsheet, and a duplicate in it', { timeout: 120_000 }, async () => {
  const { page } = stage.recruiter;
  const file = (text) => ({ name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
  await goTo(page, 'Candidates');
  await page.getByTestId('import').click();
  await page.getByTestId('file').setInputFiles(file('Jonas,jonas@demo.test\n'));
  await page.getByTestId('problem').getByText('first line must name the columns').waitFor();
  await page
    .getByTestId('file')
    .setInputFiles(file('\ufeffName;E-mail;External ID;Phone\r\nNia Long;nia@demo.test;N-1;1\r\nBad Row;nia(at)demo.test;N-2;2\r\nJonas W.;jw@demo.test;N-3;3\r\n'));
  const report = page.getByTestId('report');
  await report.getByText('3 rows in the file').waitFor();
  const error = page.getByTestId('row-error');
  assert.equal(await error.count(), 1);
  await error.getByText('is not an e-mail address').waitFor();
  await error.getByText('3', { exact: true }).waitFor();
  await report.getByText('Phone').waitFor();
  await shoot(stage.recruiter, '98-import', ON_REQUEST);
  assert.equal((await api('/candidates?q=nia')).items.length, 0, 'a look changes nothing');
  await page.getByTestId('confirm-import').click();
  await page.locator('[data-testid="report"][data-dry-run="false"]').waitFor();
  await report.getByRole('link', { name: 'To the candidates' }).click();
  await record(page, 'Nia Long').waitFor();
  await page.getByTestId('sort').selectOption('-created_at');
  await eventually('the newest come first', async () => /Jonas W\.|Nia Long/.test(await page.getByTestId('record').first().textContent()));
  await page.getByTestId('sort').selectOption('name');
  await eventually('the first of the alphabet comes first', async () => (await page.getByTestId('record').first().textContent()).includes('Amara'));
  await shoot(stage.recruiter, '99-candidates', ON_REQUEST);

  await record(page, 'Jonas Weber').getByRole('link').click();
  await page.getByTestId('merge').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('searchbox').fill('jonas');
  await dialog.getByRole('button', { name: 'Search' }).click();
  await dialog.getByLabel('Jonas W.').check();
  await shoot(stage.recruiter, '100-merge', ON_REQUEST);
  await page.getByTestId('confirm-merge').click();
  await page.getByTestId('flash').getByText('are one candidate now').waitFor();
  assert.equal(await record(page, 'Jonas W.').count(), 0);
  await record(page, 'Jonas Weber').getByText('N-3').waitFor();

  // On a phone: everything is there, nothing is wider than it.
  await page.setViewportSize(NARROW);
  for (const name of ['Candidates', 'Positions', 'Competencies']) {
    await goTo(page, name);
    await page.getByRole('heading', { name, level: 1 }).waitFor();
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(await wide(), 0, name);
    await page.getByTestId('record').first().getByRole('link').click();
    await page.getByTestId('save').waitFor();
    assert.equal(await wide(), 0, `one of ${name}`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });

  // And with all of it an interview.
  await page.goto(`${BASE_URL}/#/console`);
  await page.getByTestId('new-interview').waitFor();
  await createInterview(stage.recruiter, 'Nia Long');
  assert.deepEqual(stage.recruiter.complaints, []);
});

scene('many are invited from a list, each once, also when an answer is lost', { timeout: 60_000 }, async () => {
  const { page } = stage.recruiter;
  await page.goto(`${BASE_URL}/#/console/invites`);
  await page.reload();
  await page.getByTestId('invite-many').click();
  await page.getByTestId('many-text').fill('name;email;Phone\nUma Many;uma@demo.test;1\nBad Row;uma(at)demo.test;2\nUma Again;UMA@demo.test;3\nVera Many;vera@demo.test;4');
  await page.getByTestId('look').click();
  await page.getByRole('heading', { name: '4 people in the file' }).waitFor();
  const row = (name) => page.getByTestId('person').filter({ hasText: name });
  await row('Bad Row').getByText('is not an e-mail address').waitFor();
  await row('Uma Again').getByText('The same person is in row 2 already.').waitFor();
  assert.equal((await api('/candidates?q=many')).items.length, 0, 'a look changes nothing');
  assert.equal(await page.getByTestId('invite-them').isDisabled(), true);
  await page.getByLabel('Position').selectOption({ label: 'Product Designer' });
  await page.getByTestId('invite-send').uncheck();
  await shoot(stage.recruiter, '104-invite-many', ON_REQUEST);
  for (const width of [NARROW.width, 320]) {
    await page.setViewportSize({ width, height: 800 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });

  // They are made, and the answer is lost.
  await page.route('**/api/invites/bulk', async (route) => {
    await route.fetch();
    await route.abort();
  });
  await page.getByTestId('invite-them').click();
  await page.getByTestId('invite-now').click();
  await row('Uma Many').getByText('No answer came').waitFor();
  await page.unrouteAll({ behavior: 'wait' });
  await page.getByTestId('invite-them').click();
  await page.getByTestId('invite-now').click();
  await row('Vera Many').getByText('Was invited already').waitFor();
  await shoot(stage.recruiter, '105-invited-many', ON_REQUEST);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('download-results').click()]);
  assert.match(await readFile(await download.path(), 'utf8'), /Uma Many,uma@demo\.test,Was invited already/);
  await page.getByRole('link', { name: 'To the invites' }).click();
  await page.getByTestId('invite-search').fill('Many');
  await eventually('each is invited once', async () => (await page.getByTestId('invite-row').count()) === 2);
  assert.deepEqual(stage.recruiter.complaints, []);
});
