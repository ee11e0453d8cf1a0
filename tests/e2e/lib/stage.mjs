// What nearly every file begins with: a browser, and a recruiter who is signed in.
import { after, before } from 'node:test';
import { launch, person } from './browser.mjs';
import { signIn } from './steps.mjs';

/** `browser` and `recruiter` are there when the first test begins. `alsoStop`: what has to end with the browser. */
export function openStage(alsoStop = async () => undefined) {
  const stage = { browser: null, recruiter: null };
  before(async () => {
    stage.browser = await launch();
    stage.recruiter = await person(stage.browser, 'recruiter');
    await signIn(stage.recruiter, 'recruiter@demo.test');
  });
  after(async () => {
    await stage.browser?.close();
    await alsoStop();
  });
  return stage;
}
