import { render } from 'svelte/server';
import { describe, expect, it } from 'vitest';
import type { Entry, Evidence, RecordingView, SummaryView } from '../../../sdk';
import { entryOf } from '../../../sdk/testing/transcript';
import { markOf } from '../../lib/doubt';
import RecordingPanel from './RecordingPanel.svelte';
import SummaryPanel from './SummaryPanel.svelte';
import Transcript from './Transcript.svelte';

const entry = (seq: number, overrides: Partial<Entry> = {}) => entryOf({ seq, item_id: `i${seq}`, ...overrides });

const transcript = (entries: Entry[], highlighted: { seq: number; quote: string } | null = null) =>
  render(Transcript, { props: { entries, candidate: 'Mei \u202e', live: false, follow: false, highlighted } }).body;

/** What can be read, without markup: what a title says does not count. */
const read = (html: string) => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');
const articles = (html: string) => html.split('<article').slice(1);

describe('the transcript', () => {
  it('shows no mark on what was heard', () => {
    const html = transcript([entry(1), entry(2, { authoritative: true, doubt: null })]);
    expect(html).not.toContain('data-testid="doubt"');
    expect(html).not.toContain('data-doubt');
  });

  it.each(['unclosed_gap', 'deaf_line', 'no_item', 'no_call', 'unconfirmed', 'news_from_the_future'])(
    'says %s in words that can be read, and sets apart what does not count',
    (doubt) => {
      const [heard, told] = articles(
        transcript([entry(1), entry(2, { source: 'browser', authoritative: false, doubt })]),
      ) as [string, string];
      expect(heard).not.toMatch(/class="[^"]*\bout\b/);
      expect(told).toMatch(/class="[^"]*\bout\b/);
      expect(read(told)).toContain('Not part of the record.');
      expect(read(told)).toContain('No judgement rests on them.');
      expect(told).toContain('title="Reported by the candidate’s browser only.');
      expect(told).toContain(`data-doubt="${doubt}"`);
    },
  );

  it('says what was typed, without any doubt of it', () => {
    const [heard, typed] = articles(transcript([entry(1), entry(2, { source: 'typed', text: 'I led it.' })])) as [string, string];
    expect(heard).not.toContain('data-testid="typed"');
    expect(read(typed)).toContain('typed');
    expect(typed).not.toContain('data-testid="doubt"');
  });

  it('says which time the browser claimed', () => {
    expect(read(transcript([entry(1, { source: 'browser', claimed_at: '9999-12-31T12:00:00Z' })]))).toContain('9999');
    expect(read(transcript([entry(1, { at: 'nonsense', claimed_at: '9999-12-31T23:59:59-01:00' })]))).toContain('–');
  });

  it('keeps foreign text to itself and draws its control characters', () => {
    const html = transcript([entry(1, { text: 'a\u0000b \u202egood <script>', interrupted: true, heard_text: '\u202ex' })]);
    expect(html).toContain('<p class="foreign');
    expect(html).toContain('dir="auto"');
    expect(html).toContain('a\u2400b \ufffdgood &lt;script>');
    expect(html).not.toMatch(/[\0\u202e]/);
  });

  it('finds a quote in it all the same', () => {
    const html = transcript([entry(1, { text: 'I led\u0000 the team' })], { seq: 1, quote: 'led\u0000 the' });
    expect(read(html)).toContain('I led\u2400 the team');
    expect(html).toMatch(/<mark[^>]*>led\u2400 the<\/mark>/);
  });
});

describe('the evidence of a summary', () => {
  const entries = [entry(1), entry(2, { source: 'browser' }), entry(3, { source: 'browser', doubt: 'unclosed_gap' })];
  const quotes = (evidence: Evidence[]) => {
    const summary: SummaryView = {
      status: 'stored',
      version: 1,
      model: 'm',
      created_at: '2026-01-01T10:00:00Z',
      failure: null,
      content: {
        overall: 'Good \u202e',
        recommendation: 'advance',
        competencies: [
          { competency_id: 'c1', name: 'Leading', assessment: 'strong', rationale: 'Says so', evidence },
        ],
        strengths: [],
        concerns: [],
      },
    };
    const markFor = (seq: number) => {
      const found = entries.find((each) => each.seq === seq);
      return found ? markOf(found) : null;
    };
    const props = { summary, status: 'stored' as const, highlighted: null, markFor, onEvidence: () => undefined };
    return render(SummaryPanel, { props }).body.split('<li').slice(1);
  };

  it('carries the mark of the entry it points at', () => {
    const [heard, filled, doubtful, unknown] = quotes([1, 2, 3, 99].map((seq) => ({ entry: seq, quote: 'I led' }))) as [
      string, string, string, string,
    ];
    expect(heard).not.toContain('data-testid="doubt"');
    expect(read(filled)).toContain('From the browser.');
    expect(read(doubtful)).toContain('In doubt.');
    expect(read(doubtful)).toContain('No judgement rests on them alone.');
    expect(unknown).not.toContain('data-testid="doubt"');
  });
});

describe('the recording', () => {
  const view = (state: string, takes: string[]): RecordingView => ({
    state,
    provider: 'api.video',
    video_id: 'v1',
    parts: 1,
    mime_type: 'video/webm',
    incomplete: takes.includes('recording'),
    playback_url: null,
    segments: takes.map((each, index) => ({
      segment: index + 1,
      state: each,
      video_id: `v${index}`,
      parts: 1,
      mime_type: 'video/webm',
      incomplete: each === 'recording',
      playback_url: null,
    })),
  });
  const known = (state: string) => ({ state, video_id: null, parts: 0, mime_type: null, incomplete: false });
  const panel = (overrides: object) => {
    const props = { recording: null, session: known('playable'), over: true, problem: null, onRetry: () => undefined, ...overrides };
    return read(render(RecordingPanel, { props }).body);
  };

  it('is not said to be missing because it could not be read', () => {
    expect(panel({ problem: 'The server could not be reached.' })).toContain('The recording could not be loaded. The server could not be reached.');
    expect(panel({ problem: 'x' })).not.toContain('There is no recording');
    expect(panel({})).toContain('is being loaded');
    expect(panel({ session: known('none') })).toContain('There is no recording');
  });

  it('lacks a part when the interview is over and one of its takes is not', () => {
    const awaited = panel({ recording: view('recording', ['playable', 'recording']) });
    expect(awaited).toContain('A part of the recording is missing. It waits on the candidate');
    const closed = panel({ recording: { ...view('playable', ['playable', 'playable']), incomplete: true } });
    expect(closed).toContain('A part of the recording is missing. It never arrived');
    expect(panel({ recording: view('recording', ['recording']), over: false })).not.toContain('missing');
    expect(panel({ recording: view('playable', ['playable']) })).not.toContain('missing');
  });

  it('counts its parts as people do', () => {
    expect(panel({ recording: view('uploaded', ['uploaded']) })).toContain('1 part stored');
    expect(panel({ recording: { ...view('uploaded', ['uploaded']), parts: 3 } })).toContain('3 parts stored');
  });
});

describe('the summary', () => {
  it('is not said to be missing because it could not be read', () => {
    const base = { summary: null, highlighted: null, markFor: () => null, onEvidence: () => undefined };
    const panel = (overrides: object) =>
      read(render(SummaryPanel, { props: { ...base, status: 'stored' as const, ...overrides } }).body);
    expect(panel({ problem: 'The server took too long to answer.' })).toContain('The summary could not be loaded');
    expect(panel({})).toContain('is being loaded');
    expect(panel({ status: 'none' })).toContain('There is no summary of this interview');
  });
});
