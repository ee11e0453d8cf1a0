import { createContext, tick } from 'svelte';
import { SvelteSet } from 'svelte/reactivity';
import { ApiError, isRetryable, type PlanDetail, type PlanDocument, type PlanFinding, type PlanVerdict } from '../../sdk';
import { explain } from './explain';
import { changesBetween, merged, same } from './plan_diff';
import { at, inserted, keysOf, pointerOf, put, removed, said, type Path } from './plan_edit';
import { fieldId, followed, outwards, stepsOf } from './plan_place';
import { planText, readDocument } from './plan_read';

export type PlanView = 'form' | 'read' | 'json';

/** What the server does for an editor. */
export interface PlanSource {
  read: () => Promise<PlanDetail>;
  replaceDraft: (revision: number, document: Blob) => Promise<PlanDetail & PlanVerdict>;
  check: (document: Blob) => Promise<PlanVerdict>;
}

interface Step {
  /** As it was before. */
  document: PlanDocument;
  /** Letters typed into one field are one step. */
  key: string;
}

/** From the last letter typed to the question what is wrong. */
const PAUSE_MS = 700;
/** Where the server does not say when to ask again. */
const AGAIN_MS = 5_000;
const MOST_STEPS = 200;

/** The draft of one plan while somebody works on it: as a form and as JSON, which are two views of the same document. */
export class PlanEditor {
  document = $state.raw() as PlanDocument;
  saved = $state.raw() as PlanDocument;
  revision = $state(0);
  view = $state<PlanView>('form');
  /** What stands in the field of the JSON view, and why it is no document. */
  text = $state('');
  textProblem = $state<string | null>(null);
  /** In which the texts are written at the moment. */
  language = $state('');
  /** `waiting`: something was changed that the check has not seen. */
  checking = $state<'done' | 'waiting' | 'failed'>('waiting');
  checkProblem = $state<string | null>(null);
  saving = $state(false);
  problem = $state<string | null>(null);
  /** What somebody else has stored meanwhile. */
  theirs = $state.raw<PlanDetail | null>(null);
  /** What was done last and can be taken back, for everybody to read. */
  toast = $state<string | null>(null);
  /** What was done, for those who do not see it. */
  heard = $state('');
  /** Parts that are unfolded, by their ids. */
  readonly unfolded = new SvelteSet<string>();
  #verdict = $state.raw<{ findings: PlanFinding[]; of: PlanDocument } | null>(null);
  #history = $state.raw<Step[]>([]);
  #round = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  readonly findings = $derived(this.#verdict ? followed(this.#verdict.findings, this.#verdict.of, this.document) : []);
  readonly errors = $derived(this.findings.filter(({ severity }) => severity === 'error').length);
  readonly dirty = $derived(this.textProblem !== null || !same(this.document, this.saved));

  constructor(
    detail: PlanDetail,
    private readonly source: PlanSource,
  ) {
    this.#take(detail);
    this.language = detail.draft.default_language;
    void this.check();
  }

  get canUndo(): boolean {
    return this.textProblem !== null || this.#history.length > 0;
  }

  /** Only what was checked as it stands. */
  get publishable(): boolean {
    return this.textProblem === null && this.checking === 'done' && this.errors === 0;
  }

  at(path: Path): unknown {
    return at(this.document, path);
  }

  found(pointer: string): PlanFinding[] {
    return this.findings.filter(({ path }) => path === pointer);
  }

  set(path: Path, value: unknown): void {
    this.edit(put(this.document, path, value), pointerOf(path));
  }

  say(path: Path, words: string): void {
    this.edit(said(this.document, path, this.language, words), `${pointerOf(path)} ${this.language}`);
  }

  /** `key`: of edits that are one step together. */
  edit(document: PlanDocument, key = ''): void {
    if (document === this.document) return;
    const last = this.#history.at(-1);
    if (key === '' || last?.key !== key) this.#history = [...this.#history.slice(-MOST_STEPS), { document: this.document, key }];
    this.toast = null;
    this.#show(document);
  }

  undo(): void {
    this.toast = null;
    if (this.textProblem !== null) {
      this.#show(this.document);
      return;
    }
    const last = this.#history.at(-1);
    if (!last) return;
    this.#history = this.#history.slice(0, -1);
    this.#show(last.document);
  }

  /** Puts a new part at the end of its list, unfolded, with the cursor in it. */
  add(list: Path, part: { id: string }): void {
    const index = ((this.at(list) ?? []) as unknown[]).length;
    this.edit(inserted(this.document, list, index, part));
    this.unfolded.add(this.keyOf([...list, index]));
    void focusIn(fieldId(pointerOf([...list, index])));
  }

  remove(list: Path, index: number, name: string, without: (plan: PlanDocument) => PlanDocument = (plan) => removed(plan, list, index)): void {
    this.edit(without(this.document));
    this.toast = `${name} is removed.`;
    const left = ((this.at(list) ?? []) as unknown[]).length;
    const place = fieldId(pointerOf([...list, Math.min(index, left - 1)]));
    void focusOn(left === 0 ? `${fieldId(pointerOf(list))}-add` : place);
  }

  /** By ids, so that a part stays what it is where it moves. */
  keyOf(path: Path): string {
    return path
      .map((step, n) => (typeof step === 'number' ? keysOf((this.at(path.slice(0, n)) ?? []) as { id: string }[])[step] : step))
      .join('/');
  }

  /** Leads to the field that a finding is about. */
  async reveal(pointer: string, language: string | null = null): Promise<void> {
    if (this.textProblem !== null) return;
    this.view = 'form';
    if (language !== null && this.document.languages.includes(language)) this.language = language;
    const steps = stepsOf(pointer);
    for (const length of [2, 4]) if (typeof steps[length - 1] === 'number') this.unfolded.add(this.keyOf(steps.slice(0, length)));
    await tick();
    const id = outwards(pointer).map(fieldId).find((one) => document.getElementById(one));
    if (id !== undefined) await focusOn(id);
  }

  show(view: PlanView): void {
    if (this.textProblem !== null) return;
    if (view === 'json') this.text = planText(this.document);
    this.view = view;
  }

  /** What is typed in the JSON view. */
  write(text: string): void {
    const read = readDocument(text);
    this.text = text;
    this.textProblem = read.problem;
    if (read.document === null) return;
    const { document } = read;
    if (!same(document, this.document)) this.edit(document, 'json');
    // The letters as they were typed, and not as they would be written.
    this.text = text;
  }

  async check(): Promise<void> {
    clearTimeout(this.#timer);
    const { document } = this;
    const round = ++this.#round;
    this.checking = 'waiting';
    try {
      const { findings } = await this.source.check(blob(planText(document)));
      if (round === this.#round) this.#judge(findings, document);
    } catch (error) {
      if (round !== this.#round) return;
      this.checking = 'failed';
      this.checkProblem = explain(error);
      const wait = error instanceof ApiError ? (error.retryAfterMs ?? AGAIN_MS) : AGAIN_MS;
      if (isRetryable(error)) this.#timer = setTimeout(() => void this.check(), wait);
    }
  }

  /** Whether it is stored now as it stands. */
  async save(): Promise<boolean> {
    if (this.saving || this.textProblem !== null) return false;
    if (!this.dirty) return true;
    // As it is typed: the server's errors name a line of it.
    return this.#send(blob(this.view === 'json' ? this.text : planText(this.document)), this.document);
  }

  /** A whole document in place of this one, from a file. What was there can be had back. */
  async replace(file: Blob): Promise<boolean> {
    if (this.saving) return false;
    const read = readDocument(await file.text());
    if (!(await this.#send(file, read.document ?? this.document))) return false;
    if (!this.document.languages.includes(this.language)) this.language = this.document.default_language;
    return true;
  }

  async #send(body: Blob, sent: PlanDocument): Promise<boolean> {
    this.saving = true;
    this.problem = null;
    const shown = this.document;
    try {
      const stored = await this.source.replaceDraft(this.revision, body);
      if (sent !== shown) this.edit(stored.draft);
      // What was typed while it was under way is not in it.
      const now = sent === this.document || sent !== shown ? stored.draft : merged(sent, this.document, stored.draft).document;
      this.#take(stored, now);
      if (now === stored.draft) this.#judge(stored.findings, now);
      else this.#changed();
      return now === stored.draft;
    } catch (error) {
      await this.refuse(error);
      return false;
    } finally {
      this.saving = false;
    }
  }

  /** Says what the server refused, and what somebody else has stored when that is why. */
  async refuse(error: unknown): Promise<void> {
    this.problem = explain(error);
    if (!(error instanceof ApiError) || error.code !== 'version_conflicted') return;
    const theirs = await this.source.read().catch(() => null);
    if (theirs === null) return;
    // The answer to a save was lost, and this is what it stored.
    if (same(theirs.draft, this.document)) {
      this.#take(theirs);
      this.problem = null;
    } else this.theirs = theirs;
  }

  /** What they have changed since this was read. */
  get theirChanges() {
    return this.theirs ? changesBetween(this.saved, this.theirs.draft) : [];
  }

  /** Goes on from what somebody else has stored: with what was changed here on top, or without. Either can be undone. */
  settle(keepMine: boolean): void {
    const { theirs } = this;
    if (!theirs) return;
    const next = keepMine ? merged(this.saved, this.document, theirs.draft).document : theirs.draft;
    this.edit(next);
    this.#take(theirs, next);
    this.#changed();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#round += 1;
  }

  #take(detail: PlanDetail, document = detail.draft): void {
    this.revision = detail.revision;
    this.saved = detail.draft;
    this.theirs = null;
    this.problem = null;
    this.document = document;
    this.textProblem = null;
    this.text = planText(document);
  }

  #show(document: PlanDocument): void {
    this.document = document;
    this.textProblem = null;
    this.text = planText(document);
    if (!document.languages.includes(this.language)) this.language = document.default_language;
    this.#changed();
  }

  #changed(): void {
    clearTimeout(this.#timer);
    this.#round += 1;
    this.checking = 'waiting';
    this.#timer = setTimeout(() => void this.check(), PAUSE_MS);
  }

  #judge(findings: PlanFinding[], of: PlanDocument): void {
    clearTimeout(this.#timer);
    this.#round += 1;
    this.#verdict = { findings, of };
    this.checking = 'done';
    this.checkProblem = null;
  }
}

export const [usePlan, providePlan] = createContext<PlanEditor>();

const blob = (text: string) => new Blob([text]);

/** When the page shows it. */
export async function focusOn(...ids: string[]): Promise<void> {
  await tick();
  const found = ids.map((id) => document.getElementById(id)).find((one) => one !== null && !(one as HTMLButtonElement).disabled);
  if (!found) return;
  found.focus({ preventScroll: true });
  // Above are the languages, below are the buttons.
  const { top, bottom } = found.getBoundingClientRect();
  if (top > 64 && bottom < innerHeight - 160) return;
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  found.scrollIntoView({ block: 'center', behavior: calm ? 'auto' : 'smooth' });
}

/** The first field of a part. */
async function focusIn(id: string): Promise<void> {
  await tick();
  const part = document.getElementById(id);
  part?.querySelector<HTMLElement>('input, textarea, select')?.focus();
}
