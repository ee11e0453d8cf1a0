import assert from 'node:assert/strict';
import { BASE_URL } from './browser.mjs';

async function get(path) {
  const response = await fetch(`${BASE_URL}/sandbox/${path}`, { signal: AbortSignal.timeout(10_000) });
  assert.equal(response.status, 200, `GET /sandbox/${path}`);
  return response.json();
}

/** The sandbox's own books: what the vendors would have seen. */
export const sandbox = {
  state: () => get('state'),
  violations: async () => (await get('violations')).items,
  mail: async () => (await get('mail')).items,
  async inject(name) {
    const response = await fetch(`${BASE_URL}/sandbox/openai/inject`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name }),
    });
    assert.equal(response.status, 200, `inject ${name}`);
    return (await response.json()).calls;
  },
};
