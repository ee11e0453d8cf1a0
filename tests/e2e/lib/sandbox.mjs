import assert from 'node:assert/strict';
import { BASE_URL } from './browser.mjs';

async function get(path) {
  const response = await fetch(`${BASE_URL}/sandbox/${path}`, { signal: AbortSignal.timeout(10_000) });
  assert.equal(response.status, 200, `GET /sandbox/${path}`);
  return response.json();
}

/** The sandbox's own books: what the vendors would have seen. */
async function post(path, body) {
  const response = await fetch(`${BASE_URL}/sandbox/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  assert.ok(response.ok, `POST /sandbox/${path}: ${response.status}`);
  return response;
}

export const sandbox = {
  state: () => get('state'),
  violations: async () => (await get('violations')).items,
  mail: async () => (await get('mail')).items,
  /** What the gateway has sent to this address, the oldest first. */
  mailbox: async (address) => (await get(`mailbox/messages?to=${encodeURIComponent(address)}`)).items,
  /** Trouble in a call that is running, or in all of them. */
  async inject(name, callId) {
    return (await (await post('openai/inject', { name, call_id: callId })).json()).calls;
  },
  /** The machine's host is gone, and the machine with it. */
  loseMachine: (machineId) => post('fly/lose', { machine_id: machineId }),
};
