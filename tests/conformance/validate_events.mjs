// Checks Realtime server events (one JSON object a line) with the schemas that OpenAI's own
// client library uses at run time.
//
//   node validate_events.mjs FILE.jsonl...
//
// Proves the shape of each event, not that OpenAI would send the same ones in this order.
import { readFileSync } from 'node:fs';
// Not part of the package's public interface; the version in package.json is exact for that reason.
import { realtimeServerEventSchema } from './node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs';

// In OpenAI's API and documents, but not in the library's union.
const UNKNOWN_TO_THE_LIBRARY = new Set([
  'conversation.item.input_audio_transcription.segment',
  'input_audio_buffer.timeout_triggered',
]);

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: node validate_events.mjs FILE.jsonl...');
  process.exit(2);
}

let passed = 0;
let skipped = 0;
const failures = [];
const types = new Map();

for (const file of files) {
  const lines = readFileSync(file, 'utf8').split('\n').filter((line) => line.trim() !== '');
  lines.forEach((line, index) => {
    const where = `${file}:${index + 1}`;
    let event;
    try {
      event = JSON.parse(line);
    } catch (error) {
      failures.push(`${where}: not JSON: ${error.message}`);
      return;
    }
    // Scripts of a conversation wrap the event and say who sent it.
    if (event.dir !== undefined) {
      if (event.dir !== 'recv') return;
      event = event.frame;
    }
    types.set(event.type, (types.get(event.type) ?? 0) + 1);
    if (UNKNOWN_TO_THE_LIBRARY.has(event.type)) {
      skipped += 1;
      return;
    }
    const result = realtimeServerEventSchema.safeParse(event);
    if (result.success && typeof event.event_id === 'string') {
      passed += 1;
      return;
    }
    const issues = result.success
      ? ['event_id: missing']
      : result.error.issues.map((issue) => `${issue.path.join('.') || '(event)'}: ${issue.message}`);
    failures.push(`${where}: ${event.type}\n    ${issues.join('\n    ')}`);
  });
}

for (const [type, count] of [...types].sort()) console.log(`${String(count).padStart(6)}  ${type}`);
for (const failure of failures) console.error(failure);
if (passed === 0) failures.push('no event was checked');
console.log(`${passed} passed, ${failures.length} failed, ${skipped} skipped`);
process.exit(failures.length === 0 ? 0 : 1);
