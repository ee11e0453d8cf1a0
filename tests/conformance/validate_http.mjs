// Checks what the stand-ins were asked, and what they answered, against the vendors' OpenAPI
// documents.
//
//   VENDOR_SPECS=folder node validate_http.mjs LEDGER.json...
//
// A ledger is the answer of GET /sandbox/ledger. The documents are not part of this
// repository: put openai-realtime-subset.json, fly-machines.json and apivideo.yaml (the
// vendors publish them) into one folder. Without it everything is skipped.
import { readFileSync } from 'node:fs';
import { load, step, withoutNulls } from './specs.mjs';

const VENDORS = ['openai', 'fly', 'api.video'];
const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: VENDOR_SPECS=folder node validate_http.mjs LEDGER.json...');
  process.exit(2);
}

const folder = process.env.VENDOR_SPECS;
const specs = new Map(VENDORS.map((vendor) => [vendor, folder ? load(folder, vendor) : null]));
for (const [vendor, spec] of specs) {
  if (!spec) console.log(`notice: no OpenAPI document for ${vendor} (VENDOR_SPECS=${folder ?? 'not set'}); its exchanges are skipped`);
}

const counts = { passed: 0, skipped: 0 };
const failures = [];
const skips = new Map();

const skip = (why) => {
  counts.skipped += 1;
  skips.set(why, (skips.get(why) ?? 0) + 1);
};

for (const file of files) {
  const ledger = JSON.parse(readFileSync(file, 'utf8'));
  const entries = Array.isArray(ledger) ? ledger : ledger.items;
  entries.forEach((entry, index) => {
    if (!VENDORS.includes(entry.vendor)) return;
    const spec = specs.get(entry.vendor);
    if (!spec) return skip(`no document for ${entry.vendor}`);
    // An ordered fault: neither side's own doing.
    if (entry.status === 0) return skip('no answer was sent (a fault)');
    const found = check(spec, entry);
    if (typeof found === 'string') return skip(found);
    if (found.length === 0) {
      counts.passed += 1;
      return;
    }
    failures.push(`${file}[${index}] ${entry.vendor} ${entry.method} ${entry.path} -> ${entry.status}\n    ${found.join('\n    ')}`);
  });
}

/** A list of complaints, or the reason why there is nothing to check. */
function check(spec, entry) {
  if (entry.method === 'WS') return checkClientEvent(spec, entry);
  if (entry.vendor === 'openai' && entry.status >= 400) return checkOpenAiError(entry);
  // Known from Fly's guide alone; the stand-in refuses what is not of that shape.
  if (entry.vendor === 'fly' && entry.path.includes('/network_policies')) return "fly's network policies are in its guide, not in its document";
  const operation = spec.find(entry.method, entry.path);
  if (!operation) return `not in the document: ${entry.vendor} ${entry.method} ${entry.path.replace(/[0-9a-f-]{8,}|rtc_\w+/gi, '*')}`;
  // What was refused is wrong on purpose.
  const asked = entry.status < 400 ? checkRequest(spec, operation, entry) : [];
  return [...asked, ...checkResponse(spec, operation, entry)];
}

function pointer(operation, ...rest) {
  return ['', 'paths', step(operation.path), operation.method, ...rest.map(step)].join('/');
}

function checkRequest(spec, operation, entry) {
  const body = spec.document.components?.requestBodies && operation.spec.requestBody?.$ref
    ? spec.document.components.requestBodies[operation.spec.requestBody.$ref.split('/').pop()]
    : operation.spec.requestBody;
  if (!body?.content) {
    const empty = entry.request === null || (typeof entry.request === 'object' && Object.keys(entry.request).length === 0);
    return empty ? [] : ['request: a body where the document has none'];
  }
  if (entry.request?.multipart) return checkMultipart(spec, operation, body, entry.request.multipart);
  const kind = headerOf(entry, 'content-type').split(';')[0];
  if (entry.request === null) return body.required ? ['request: the body is missing'] : [];
  if (!body.content[kind]) return [`request: content type ${kind || '(none)'} is not one of ${Object.keys(body.content)}`];
  if (!kind.endsWith('json')) return [];
  return spec.check(pointer(operation, 'requestBody', 'content', kind, 'schema'), entry.request).map((line) => `request: ${line}`);
}

/** Multipart bodies are checked by their fields. */
function checkMultipart(spec, operation, body, parts) {
  const content = body.content['multipart/form-data'];
  if (!content) return ['request: multipart where the document has none'];
  if (!Array.isArray(parts)) return [`request: ${parts}`];
  const schema = resolve(spec, content.schema);
  const complaints = [];
  for (const part of parts) {
    const property = schema.properties?.[part.name];
    if (!property) {
      complaints.push(`request: the document has no part '${part.name}'`);
      continue;
    }
    const wanted = content.encoding?.[part.name]?.contentType;
    if (wanted && part.content_type && part.content_type.split(';')[0] !== wanted) {
      complaints.push(`request: part '${part.name}' is ${part.content_type}, not ${wanted}`);
    }
    if (part.name === 'session' && typeof part.text === 'object') {
      const found = spec.check('/components/schemas/RealtimeSessionCreateRequestGA', part.text);
      complaints.push(...found.map((line) => `request: session ${line}`));
    }
  }
  for (const name of schema.required ?? []) {
    if (!parts.some((part) => part.name === name)) complaints.push(`request: the part '${name}' is missing`);
  }
  return complaints;
}

function checkResponse(spec, operation, entry) {
  const responses = operation.spec.responses;
  const status = responses[entry.status] ? String(entry.status) : responses.default ? 'default' : null;
  if (!status) return entry.status < 400 ? [`response: status ${entry.status} is not one of ${Object.keys(responses)}`] : [];
  const response = resolve(spec, responses[status]);
  if (operation.path === '/realtime/calls') {
    // Seen from the vendor: text/plain, whatever the document says.
    return String(entry.response).startsWith('v=0') ? [] : ['response: not an SDP answer'];
  }
  const schema = response.content?.['application/json']?.schema;
  if (!schema) return entry.response === null || response.content ? [] : ['response: a body where the document has none'];
  if (entry.response === null) return ['response: the body is missing'];
  const answer = forgiving(entry.vendor, entry.response);
  const complaints = spec.check(pointer(operation, 'responses', status, 'content', 'application/json', 'schema'), answer);
  return complaints.map((line) => `response: ${line}`);
}

/** An answer as the document would have it, where real traffic is known to differ. */
function forgiving(vendor, answer) {
  if (vendor === 'fly') {
    // Asked for as a word, answered as a boolean.
    return JSON.parse(JSON.stringify(answer), (key, value) => (key === 'autostop' && typeof value === 'boolean' ? 'off' : value));
  }
  if (vendor !== 'openai') return answer;
  const kept = withoutNulls(answer);
  // These the document wants to be there, null or not.
  for (const name of ['error', 'incomplete_details', 'instructions', 'metadata']) {
    if (answer?.object === 'response' && name in answer) kept[name] = answer[name];
  }
  return kept;
}

function checkOpenAiError(entry) {
  const error = entry.response?.error;
  // The body of an ordered fault is whatever the test wrote.
  if (entry.response === null || error === undefined) return 'an error without the vendor\'s body (a fault)';
  const complaints = [];
  for (const name of ['message', 'type']) if (typeof error[name] !== 'string') complaints.push(`error.${name} is not text`);
  for (const name of ['param', 'code']) {
    if (error[name] !== null && typeof error[name] !== 'string') complaints.push(`error.${name} is neither text nor null`);
  }
  return complaints;
}

function checkClientEvent(spec, entry) {
  if (entry.status >= 400) return 'a client event that was refused';
  return spec.check('/components/schemas/RealtimeClientEvent', entry.request).map((line) => `event: ${line}`);
}

function resolve(spec, node) {
  while (node?.$ref) node = node.$ref.split('/').slice(1).reduce((at, name) => at[name], spec.document);
  return node;
}

function headerOf(entry, name) {
  return entry.headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? '';
}

for (const [why, count] of [...skips].sort()) console.log(`${String(count).padStart(6)} skipped: ${why}`);
for (const failure of failures) console.error(failure);
console.log(`${counts.passed} passed, ${failures.length} failed, ${counts.skipped} skipped`);
process.exit(failures.length === 0 ? 0 : 1);
