// Lets OpenAI's own Node client talk to a running stand-in.
//
//   OPENAI_BASE_URL=http://127.0.0.1:PORT/openai/v1 OPENAI_API_KEY=sk-… node openai_client.mjs
import assert from 'node:assert/strict';
import OpenAI from 'openai';

if (!process.env.OPENAI_BASE_URL) {
  console.log('notice: OPENAI_BASE_URL is not set, so there is nothing to talk to');
  console.log('0 passed, 0 failed, 1 skipped');
  process.exit(0);
}

const client = new OpenAI({ maxRetries: 0, timeout: 10_000 });
const checks = {
  async 'the catalogue of models'() {
    const models = await client.models.list();
    assert.ok(models.data.some((model) => model.id === 'gpt-realtime-2.1'));
  },
  async 'an ephemeral key'() {
    const secret = await client.realtime.clientSecrets.create({ session: { type: 'realtime', model: 'gpt-realtime-2.1' } });
    assert.match(secret.value, /^ek_/);
    assert.equal(secret.session.object, 'realtime.session');
  },
  async 'a response that follows a schema'() {
    const schema = { type: 'object', additionalProperties: false, required: ['overall'], properties: { overall: { type: 'string' } } };
    const response = await client.responses.create({
      model: 'gpt-6-luna',
      store: false,
      input: 'Transcript: [{"entry":1,"speaker":"candidate","text":"I built it."}]',
      text: { format: { type: 'json_schema', name: 'summary', strict: true, schema } },
    });
    assert.equal(response.status, 'completed');
    assert.match(JSON.parse(response.output_text).overall, /I built it\./);
  },
  async 'hanging up a call that is over'() {
    await assert.rejects(client.realtime.calls.hangup('rtc_u2_nobody'), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, 'call_id_not_found');
      return true;
    });
  },
  async 'a parameter that does not exist'() {
    const request = { session: { type: 'realtime', temperature: 0.7 } };
    await assert.rejects(client.realtime.clientSecrets.create(request), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'session.temperature');
      return true;
    });
  },
  async 'a wrong key'() {
    const stranger = new OpenAI({ apiKey: 'wrong', maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.error(`FAIL  ${name}\n${error.stack}`);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
