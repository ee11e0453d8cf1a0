// A whole interview, from the recruiter's first click to the stored summary, in a real browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BASE_URL, launch, person, shoot } from './lib/browser.mjs';
import { receivedAudio } from './lib/fake_microphone.mjs';
import { sandbox } from './lib/sandbox.mjs';
import {
  agree,
  answer,
  checkDevices,
  createInterview,
  interviewerHasSpoken,
  settled,
  signIn,
} from './lib/steps.mjs';
import { eventually } from './lib/wait.mjs';

/** More answers than any script of the sandbox asks for. */
const MOST_TURNS = 14;

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  await browser?.close();
});

test('an interview from invitation to summary', { timeout: 600_000 }, async (t) => {
  const recruiter = await person(browser, 'recruiter');
  const candidate = await person(browser, 'candidate');
  const violationsBefore = (await sandbox.violations()).length;
  let sessionId;

  await t.test('the recruiter signs in and creates an interview', async () => {
    await recruiter.page.goto(`${BASE_URL}/`);
    await recruiter.page.getByTestId('sign-in-recruiter@demo.test').waitFor();
    await shoot(recruiter, '01-sign-in', { all: true });
    await signIn(recruiter, 'recruiter@demo.test');
    await recruiter.page.getByTestId('new-interview').waitFor();
    sessionId = await createInterview(recruiter, 'Amara Okafor');
    await shoot(recruiter, '02-created');
    await recruiter.page.getByTestId('done').click();
    await recruiter.page.locator(`[data-session="${sessionId}"]`).waitFor();
    await shoot(recruiter, '03-list', { all: true });
  });

  await t.test('the candidate signs in, is told what happens, and agrees', async () => {
    await signIn(candidate, 'amara@demo.test');
    await candidate.page.locator(`a[href="#/room/${sessionId}"]`).click();
    await candidate.page.getByTestId('consent-continue').waitFor();
    await shoot(candidate, '04-agreement', { all: true });
    await candidate.page.getByTestId('consent-continue').click();
    await candidate.page.getByText('cannot start without both agreements').waitFor();
    await agree(candidate);
  });

  await t.test('the devices are checked and the call comes up', async () => {
    await checkDevices(candidate);
    await shoot(candidate, '05-devices', { all: true });
    await candidate.page.getByTestId('start-interview').click();
    await candidate.page.locator('[data-testid="room"][data-state="live"]').waitFor({ timeout: 60_000 });
    await shoot(candidate, '06-connected');
  });

  await t.test('the voice of the interviewer is really received', async () => {
    const heard = await eventually('sound arrives', async () => {
      const now = await receivedAudio(candidate.page);
      return now.packets > 50 && now.energy > 0.005 ? now : null;
    });
    t.diagnostic(`${heard.packets} packets, energy ${heard.energy.toFixed(3)}`);
    await candidate.page.getByTestId('caption-ai').first().waitFor();
    await candidate.page.getByText('Recording', { exact: true }).waitFor();
    await shoot(candidate, '07-interviewer-speaks', { all: true });
  });

  await t.test('the recruiter follows the conversation live', async () => {
    await recruiter.page.locator(`[data-session="${sessionId}"] a`).click();
    await recruiter.page.getByTestId('live').waitFor();
    await recruiter.page.locator('[data-testid="phase"][data-phase="live"]').waitFor();
    await recruiter.page.getByTestId('entry-ai').first().waitFor({ timeout: 30_000 });
    await shoot(recruiter, '08-live', { all: true });
  });

  await t.test('they talk until the interviewer ends the interview', { timeout: 360_000 }, async () => {
    let turns = 0;
    let said = 0;
    while ((await interviewerHasSpoken(candidate, said)) === 'your turn') {
      assert.ok(turns < MOST_TURNS, `the interviewer has not ended after ${MOST_TURNS} answers`);
      said = await settled(candidate, 'ai');
      await answer(candidate);
      turns += 1;
      if (turns === 1) await shoot(candidate, '09-conversation', { all: true });
    }
    t.diagnostic(`${turns} answers`);
    assert.ok(turns >= 2, 'at least two answers were given');
  });

  await t.test('the candidate sees a clear end, and the recording is stored', async () => {
    await candidate.page.locator('[data-testid="finished"][data-state="ended"]').waitFor();
    await candidate.page.locator('[data-testid="upload"][data-recording="stored"]').waitFor({ timeout: 60_000 });
    await shoot(candidate, '10-finished', { all: true });
  });

  await t.test('the recruiter reads the stored summary and follows a quote into the transcript', async () => {
    const { page } = recruiter;
    await page.locator('[data-testid="phase"][data-phase="completed"]').waitFor({ timeout: 90_000 });
    await page.locator('[data-testid="summary"][data-status="stored"]').waitFor({ timeout: 90_000 });
    await page.getByTestId('recommendation').waitFor();
    assert.ok((await page.getByTestId('entry-candidate').count()) >= 2, 'the answers are in the transcript');
    await page.locator('[data-testid="recording"] video').waitFor({ timeout: 60_000 });
    await shoot(recruiter, '11-summary', { all: true });
    const quote = page.getByTestId('evidence').first();
    await quote.click();
    const marked = page.locator(`#entry-${await quote.getAttribute('data-entry')} mark`);
    await marked.waitFor();
    assert.ok((await quote.textContent()).includes((await marked.textContent()).trim()), 'the quote is marked');
    await shoot(recruiter, '12-evidence', { all: true });
    assert.match(await page.getByTestId('trace-id').textContent(), /^[0-9a-f]{32}$/);
  });

  await t.test('the recording plays', async () => {
    const video = recruiter.page.locator('[data-testid="recording"] video');
    const seconds = await video.evaluate(async (element) => {
      element.muted = true;
      await element.play();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      return element.currentTime;
    });
    assert.ok(seconds > 0.2, `played ${seconds} s`);
  });

  await t.test('the books of the sandbox agree', async () => {
    const machines = await eventually(
      'the machine of the session is gone',
      async () => {
        const { fly } = await sandbox.state();
        const own = fly.machines.filter((each) => each.metadata.session_id === sessionId);
        return own.length > 0 && own.every((each) => each.state === 'destroyed') ? own : null;
      },
      { timeoutMs: 60_000 },
    );
    assert.deepEqual(machines.map((each) => each.restarts), [0], 'one machine, never restarted');
    const { api_video: videos } = await sandbox.state();
    const video = videos.videos.find((each) =>
      each.metadata.some(({ key, value }) => key === 'session_id' && value === sessionId),
    );
    assert.ok(video, 'the recording is known by the session it belongs to');
    const { ingest } = video.status;
    t.diagnostic(`${ingest.receivedParts.total} part(s), ${ingest.filesize} bytes`);
    assert.equal(ingest.status, 'uploaded');
    assert.equal(ingest.receivedParts.parts.length, ingest.receivedParts.total, 'no part is missing');
    assert.equal((await sandbox.violations()).length, violationsBefore, 'no vendor was called wrongly');
  });

  assert.deepEqual([...recruiter.complaints, ...candidate.complaints], [], 'no page complained');
});
