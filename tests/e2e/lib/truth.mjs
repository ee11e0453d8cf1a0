// What was really said, by the provider's own list of items, against what PostgreSQL has.
import assert from 'node:assert/strict';
import { BASE_URL } from './browser.mjs';
import { sandbox } from './sandbox.mjs';
import { eventually } from './wait.mjs';

let token = null;
/** The recruiter's access token, without a browser. */
async function recruiter() {
  if (token) return token;
  const config = await (await fetch(`${BASE_URL}/api/config`)).json();
  const answer = await fetch(`${config.supabase.url}/auth/v1/token?grant_type=password`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', apikey: config.supabase.publishable_key },
    body: JSON.stringify({ email: 'recruiter@demo.test', password: 'interview' }),
  });
  const body = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(body));
  token = body.access_token;
  return token;
}

export async function api(path, { method = 'GET', body, headers = {} } = {}) {
  const answer = await fetch(`${BASE_URL}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${await recruiter()}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return answer.json();
}

/** An interview for this person, without a recruiter's window. Returns its id. */
export async function createByApi(candidateName) {
  const [people, positions] = await Promise.all([api('/candidates'), api('/positions')]);
  const body = {
    candidate_id: people.items.find((each) => each.name === candidateName).id,
    position_id: positions.items[0].id,
    settings: { max_duration_s: 600 },
  };
  const answer = await fetch(`${BASE_URL}/api/sessions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await recruiter()}`,
      'content-type': 'application/json',
      'idempotency-key': crypto.randomUUID(),
    },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 201, `${answer.status}`);
  return (await answer.json()).session_id;
}

const squeeze = (text) => text.replace(/\s+/g, ' ').trim();

/** The turns that were spoken in these calls, in order; what a later call is told of an earlier one is not spoken. */
export function spokenTurns(calls) {
  const turns = [];
  for (const call of calls) {
    for (const item of call.items) {
      if (item.type !== 'message' || !['user', 'assistant'].includes(item.role)) continue;
      // Typed text is what a client wrote into the conversation; what is being spoken has no content yet.
      const audio = item.content?.find((part) => ['input_audio', 'output_audio', 'audio'].includes(part.type)) ?? {};
      if (item.content?.length > 0 && !audio.type) continue;
      turns.push({
        id: item.id,
        speaker: item.role === 'user' ? 'candidate' : 'ai',
        text: squeeze(audio.transcript ?? ''),
        whole: item.status === 'completed',
        call: call.call_id,
      });
    }
  }
  return turns;
}

/** The calls of one interview: made for this candidate since it began. The provider knows no more of it. */
export async function callsOf({ since, name }) {
  const { openai } = await sandbox.state();
  const told = `The candidate is ${JSON.stringify(name)}.`;
  return openai.calls.filter(
    (call) => Date.parse(call.created_at) >= since && call.session.instructions?.includes(told),
  );
}

export const machinesOf = async (sessionId) =>
  (await sandbox.state()).fly.machines.filter((each) => each.metadata.session_id === sessionId);

/**
 * The interview is over: everything that was said stands in the database, once, in order; there was one greeting;
 * the summary is stored; no machine is left; each take of the recording can be played.
 */
export async function isWhole(t, interview, { takes = 1, endReason = 'candidate_ended' } = {}) {
  const { sessionId } = interview;
  const session = await eventually(
    'the interview is stored with its summary',
    async () => {
      const view = await api(`/sessions/${sessionId}`);
      return view.phase === 'completed' && view.summary.status === 'stored' ? view : null;
    },
    { timeoutMs: 90_000, everyMs: 500 },
  );
  assert.equal(session.end_reason, endReason);

  const calls = await callsOf(interview);
  const spoken = spokenTurns(calls);
  const { entries } = await api(`/sessions/${sessionId}/transcript`);
  const stored = entries.map((entry) => ({ ...entry, text: squeeze(entry.text) }));
  const show = () => JSON.stringify({ spoken, stored }, null, 1);
  const ids = stored.map((entry) => entry.item_id);
  assert.equal(new Set(ids).size, ids.length, `no turn is stored twice: ${show()}`);
  assert.equal(new Set(stored.map((entry) => entry.seq)).size, stored.length, 'no number is given twice');

  let last = -1;
  for (const turn of spoken) {
    const at = ids.indexOf(turn.id);
    // A turn that was cut off before its words came may be missing; one whose words came may not.
    if (at < 0) {
      assert.ok(turn.text === '' || !turn.whole, `a turn is missing: ${JSON.stringify(turn)} in ${show()}`);
      continue;
    }
    assert.ok(at > last, `a turn stands in the wrong place: ${JSON.stringify(turn)} in ${show()}`);
    last = at;
    assert.equal(stored[at].speaker, turn.speaker);
    const text = stored[at].text;
    if (turn.whole && turn.text !== '') assert.equal(text, turn.text, 'word for word');
    else if (turn.text !== '') assert.ok(turn.text.startsWith(text) || text.startsWith(turn.text), `${text} / ${turn.text}`);
  }
  // Speech that was cut off before it was a turn: the provider forgets it with the call, we keep what came of it.
  const isGap = (entry) => entry.speaker === 'candidate' && ['missing', 'partial'].includes(entry.status);
  const unheard = stored.filter((entry) => !isGap(entry) && !spoken.some((turn) => turn.id === entry.item_id));
  assert.deepEqual(unheard, [], 'nothing is stored that was not said');

  const greetings = stored.filter((entry) => entry.speaker === 'ai' && /^Hello/.test(entry.text));
  assert.equal(greetings.length, 1, `one greeting: ${show()}`);
  assert.ok(stored.some((entry) => entry.speaker === 'candidate'), 'the candidate was heard');

  const machines = await eventually(
    'no machine is left',
    async () => {
      const all = await machinesOf(sessionId);
      return all.every((each) => each.state === 'destroyed') ? all : null;
    },
    { timeoutMs: 60_000 },
  );
  const alive = (await callsOf(interview)).filter((call) => call.alive);
  assert.deepEqual(alive.map((call) => call.call_id), [], 'no call is left open');

  if (takes > 0) {
    const recording = await eventually(
      'each take can be played',
      async () => {
        const view = await api(`/sessions/${sessionId}/recording`);
        return view.state === 'playable' ? view : null;
      },
      { timeoutMs: 60_000, everyMs: 1_000 },
    );
    assert.equal(recording.segments.length, takes, JSON.stringify(recording));
    for (const take of recording.segments) await plays(take.playback_url);
  }
  t.diagnostic(
    `${stored.length} turns stored of ${spoken.length} spoken in ${calls.length} call(s), ${machines.length} machine(s), ` +
      `${machines.map((each) => each.restarts)} restart(s), ${takes} take(s)`,
  );
  return { session, stored, spoken, calls, machines };
}

/** The file begins as WebM does. */
async function plays(url) {
  const answer = await fetch(url, { headers: { 'user-agent': 'e2e' } });
  assert.equal(answer.status, 200, `${url}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  assert.deepEqual([...bytes.slice(0, 4)], [0x1a, 0x45, 0xdf, 0xa3], 'a WebM file');
  assert.ok(bytes.length > 2_000, `${bytes.length} bytes`);
}
