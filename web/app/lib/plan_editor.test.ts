import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ApiError, NetworkError, type PlanDetail, type PlanDocument, type PlanFinding, type PlanVerdict } from '../../sdk';
import { newQuestion, put } from './plan_edit';
import { PlanEditor } from './plan_editor.svelte';
import { planText } from './plan_read';

const file = fileURLToPath(new URL('../../../config/plans/software_engineer.json', import.meta.url));
const plan = JSON.parse(readFileSync(file, 'utf8')) as PlanDocument;
const finding: PlanFinding = { code: 'too_long', severity: 'error', path: '/opening/spoken', language: 'en', message: 'Say less.', accepted: null };

const detail = (draft: PlanDocument, revision = 1): PlanDetail => ({
  plan_id: 'p',
  name: draft.title,
  revision,
  newest_version: null,
  created_at: '',
  updated_at: '',
  archived_at: null,
  draft,
});
const refusal = (status: number, code: string, after: number | null = null) =>
  new ApiError({ type: '', title: code, status, code, detail: null, request_id: null }, after);

/** A server with one draft, as the real one: it trims, and takes a change of what was read only. */
class Server {
  draft = plan;
  revision = 1;
  findings: PlanFinding[] = [];
  bodies: string[] = [];
  checks: PlanDocument[] = [];
  /** What the next save ends with, after or instead of storing. */
  trouble: { error: Error; stored: boolean } | null = null;
  checkTrouble: Error | null = null;
  meanwhile: () => void = () => undefined;

  read = () => Promise.resolve(detail(this.draft, this.revision));

  replaceDraft = async (revision: number, body: Blob): Promise<PlanDetail & PlanVerdict> => {
    const text = await body.text();
    this.bodies.push(text);
    if (revision !== this.revision) throw refusal(412, 'version_conflicted');
    const trouble = this.trouble;
    this.trouble = null;
    if (trouble && !trouble.stored) throw trouble.error;
    this.draft = JSON.parse(text, (_, value: unknown) => (typeof value === 'string' ? value.trim() : value)) as PlanDocument;
    this.revision += 1;
    this.meanwhile();
    if (trouble) throw trouble.error;
    return { ...detail(this.draft, this.revision), findings: this.findings, may_publish: this.findings.length === 0 };
  };

  check = async (body: Blob): Promise<PlanVerdict> => {
    this.checks.push(JSON.parse(await body.text()) as PlanDocument);
    const trouble = this.checkTrouble;
    this.checkTrouble = null;
    if (trouble) throw trouble;
    return { findings: this.findings, may_publish: this.findings.length === 0 };
  };
}

let server: Server;
let editor: PlanEditor;
beforeEach(async () => {
  vi.useFakeTimers();
  vi.stubGlobal('document', { getElementById: () => null });
  server = new Server();
  editor = new PlanEditor(detail(plan), server);
  await vi.runAllTimersAsync();
});
afterEach(() => {
  editor.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const opening = () => editor.document.opening.spoken['en'];
const write = (words: string) => editor.say(['opening', 'spoken'], words);

it('says what is not stored, stores it and only it', async () => {
  expect([editor.dirty, editor.publishable]).toEqual([false, true]);
  write('Hello. ');
  expect([editor.dirty, editor.publishable]).toEqual([true, false]);
  expect(await editor.save()).toBe(true);
  expect([editor.dirty, editor.publishable, opening(), editor.revision]).toEqual([false, true, 'Hello.', 2]);
  const lines = planText(plan).split('\n');
  expect(server.bodies[0]?.split('\n').filter((line, n) => line !== lines[n])).toHaveLength(1);
});

it('what was typed and taken back is not a change', () => {
  const before = opening() ?? '';
  write('');
  expect(editor.document.opening.spoken).not.toHaveProperty('en');
  write(before);
  expect(editor.dirty).toBe(false);
});

it('keeps what is typed while it is stored', async () => {
  write('Hello. ');
  const saving = editor.save();
  editor.set(['minutes'], 30);
  expect(await saving).toBe(false);
  expect([opening(), editor.document.minutes, editor.saved.minutes, editor.dirty]).toEqual(['Hello.', 30, 25, true]);
  expect(await editor.save()).toBe(true);
  expect(server.draft.minutes).toBe(30);
});

it('undoes letter by letter no, field by field yes', () => {
  write('H');
  write('He');
  editor.set(['minutes'], 30);
  editor.undo();
  expect([editor.document.minutes, opening()]).toEqual([25, 'He']);
  editor.undo();
  expect([opening(), editor.canUndo, editor.dirty]).toEqual([plan.opening.spoken['en'], false, false]);
});

it('brings back what was removed, in its place', () => {
  editor.remove(['sections', 1, 'questions'], 1, 'Question');
  expect(editor.toast).toBe('Question is removed.');
  editor.undo();
  expect([editor.document, editor.toast]).toEqual([plan, null]);
});

it('a part stays unfolded where it moves', () => {
  const list = ['sections', 1, 'questions'];
  editor.add(list, newQuestion(editor.document));
  expect(editor.unfolded.has(editor.keyOf([...list, 4]))).toBe(true);
  expect(editor.keyOf([...list, 4])).toBe('sections/work/questions/question');
});

it('checks what was written when nobody types any more, once', async () => {
  server.checks = [];
  server.findings = [finding];
  write('H');
  await vi.advanceTimersByTimeAsync(500);
  write('He');
  await vi.advanceTimersByTimeAsync(500);
  expect([server.checks.length, editor.checking, editor.errors]).toEqual([0, 'waiting', 0]);
  await vi.advanceTimersByTimeAsync(500);
  expect(server.checks.map(({ opening: { spoken } }) => spoken['en'])).toEqual(['He']);
  expect([editor.checking, editor.errors, editor.publishable]).toEqual(['done', 1, false]);
  expect(editor.found('/opening/spoken')).toEqual([finding]);
});

it('an answer about what has changed since is not believed', async () => {
  let answer: (verdict: PlanVerdict) => void = () => undefined;
  vi.spyOn(server, 'check').mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)));
  const slow = new PlanEditor(detail(plan), server);
  slow.say(['opening', 'spoken'], 'Other.');
  answer({ findings: [finding], may_publish: false });
  await Promise.resolve();
  expect([slow.checking, slow.errors]).toEqual(['waiting', 0]);
  slow.stop();
});

it('asks again when the check was too busy', async () => {
  server.checkTrouble = refusal(503, 'service_saturated', 2_000);
  await editor.check();
  expect([editor.checking, editor.checkProblem, editor.publishable]).toEqual(['failed', 'The server is busy. Please try again in a moment.', false]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect([editor.checking, editor.publishable]).toEqual(['done', true]);
});

it('somebody else was faster: both changes can stay, and nothing is lost', async () => {
  write('Mine.');
  server.draft = put(plan, ['minutes'], 30);
  server.revision = 7;
  expect(await editor.save()).toBe(false);
  expect([opening(), editor.theirs?.revision, editor.dirty]).toEqual(['Mine.', 7, true]);
  expect(editor.theirChanges.map(({ path }) => path)).toEqual(['minutes']);
  editor.settle(true);
  expect([opening(), editor.document.minutes, editor.theirs, editor.dirty]).toEqual(['Mine.', 30, null, true]);
  expect(await editor.save()).toBe(true);
  expect([server.draft.opening.spoken['en'], server.draft.minutes, server.revision]).toEqual(['Mine.', 30, 8]);
});

it('theirs can be taken, and mine come back by an undo', async () => {
  write('Mine.');
  server.draft = put(plan, ['minutes'], 30);
  server.revision = 7;
  await editor.save();
  editor.settle(false);
  expect([editor.document, editor.dirty]).toEqual([server.draft, false]);
  editor.undo();
  expect([opening(), editor.dirty]).toEqual(['Mine.', true]);
});

it('a save whose answer was lost is known again', async () => {
  write('Mine.');
  server.trouble = { error: new NetworkError('timeout'), stored: true };
  expect(await editor.save()).toBe(false);
  expect(editor.problem).toContain('took too long');
  await editor.save();
  expect([editor.theirs, editor.problem, editor.dirty, editor.revision]).toEqual([null, null, false, 2]);
});

it('a save that failed loses nothing', async () => {
  write('Mine.');
  server.trouble = { error: new NetworkError('unreachable'), stored: false };
  expect(await editor.save()).toBe(false);
  expect([opening(), editor.dirty, editor.saving]).toEqual(['Mine.', true, false]);
  expect(await editor.save()).toBe(true);
});

it('form and JSON are one draft', async () => {
  write('From the form.');
  editor.show('json');
  expect(editor.text).toContain('From the form.');
  editor.write(editor.text.replace('From the form.', 'From the JSON.'));
  expect(opening()).toBe('From the JSON.');
  editor.write('{"title": ');
  expect([editor.textProblem?.slice(0, 16), opening(), editor.dirty, editor.publishable]).toEqual(['This is not JSON', 'From the JSON.', true, false]);
  editor.show('form');
  expect([editor.view, await editor.save(), server.bodies]).toEqual(['json', false, []]);
  editor.undo();
  expect([editor.textProblem, editor.text]).toEqual([null, planText(editor.document)]);
  editor.show('form');
  expect(editor.view).toBe('form');
});

it('JSON is stored as it was typed, so that an error names its line', async () => {
  editor.show('json');
  const text = JSON.stringify({ ...plan, minutes: 30 });
  editor.write(text);
  expect(editor.text).toBe(text);
  await editor.save();
  expect(server.bodies).toEqual([text]);
});

it('a file takes the place of the draft, and what was there comes back by an undo', async () => {
  write('Mine.');
  expect(await editor.replace(new Blob([JSON.stringify({ ...plan, title: 'From a file' })]))).toBe(true);
  expect([editor.document.title, editor.dirty]).toEqual(['From a file', false]);
  editor.undo();
  expect([editor.document.title, opening()]).toEqual([plan.title, 'Mine.']);
});
