import assert from 'node:assert/strict';

/** Polls `probe` until it returns something truthy; fails with the last value it saw. */
export async function eventually(what, probe, { timeoutMs = 30_000, everyMs = 250 } = {}) {
  const deadline = Date.now() + timeoutMs;
  let last;
  for (;;) {
    try {
      last = await probe();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const seen = last instanceof Error ? last.message : JSON.stringify(last);
  assert.fail(`${what}: not within ${timeoutMs} ms (last: ${seen})`);
}
