import { ApiError } from '../../sdk';
import { explain } from './explain';
import { differing } from './filters';

/** The fields of a form, what is wrong with them, and whether anything of it would be lost. */
export class RecordForm<F extends object> {
  fields = $state() as F;
  /** By the field's name, as the server has it. */
  errors = $state<Record<string, string>>({});
  problem = $state<string | null>(null);
  conflicted = $state(false);
  busy = $state(false);
  #before = $state('');
  /** Because of its fields, and of nothing else. */
  #refused = false;

  constructor(fields: F) {
    this.fill(fields);
  }

  get dirty(): boolean {
    return JSON.stringify(this.fields) !== this.#before;
  }

  /** What the fields were when they were last read. */
  get before(): F {
    return JSON.parse(this.#before) as F;
  }

  fill(fields: F): void {
    // A copy: what is typed changes nothing elsewhere.
    this.#before = JSON.stringify(fields);
    this.fields = this.before;
    this.#clear();
  }

  /** What differs from what was read. */
  get changes(): Partial<F> {
    const typed = $state.snapshot(this.fields) as F;
    return Object.fromEntries(differing(typed, this.before).map((name) => [name, typed[name]])) as Partial<F>;
  }

  /** Go on from what somebody else has made of it: what was changed here stays changed, the rest is theirs. */
  rebase(theirs: F): void {
    const { changes } = this;
    this.fill(theirs);
    Object.assign(this.fields, changes);
  }

  /** What `send` answered; `null` when it was refused, and then the form says why. */
  async submit<T>(send: (fields: F) => Promise<T>): Promise<T | null> {
    if (this.busy) return null;
    this.busy = true;
    this.#clear();
    try {
      return await send($state.snapshot(this.fields) as F);
    } catch (error) {
      this.#refuse(error);
      return null;
    } finally {
      this.busy = false;
    }
  }

  /** Somebody is mending what this field, or what it consists of, was refused for. */
  mend(name: string): void {
    for (const field of Object.keys(this.errors)) {
      if (field === name || field.startsWith(`${name}[`)) delete this.errors[field];
    }
    if (this.#refused && Object.keys(this.errors).length === 0) this.problem = null;
  }

  #clear(): void {
    this.#refused = false;
    this.errors = {};
    this.problem = null;
    this.conflicted = false;
  }

  #refuse(error: unknown): void {
    this.problem = explain(error);
    if (!(error instanceof ApiError)) return;
    this.conflicted = error.code === 'version_conflicted';
    // The first one of a field is enough to mend it.
    for (const { field, message } of error.fields) this.errors[field] ??= message;
    if (error.code === 'external_id_taken') this.errors['external_id'] = 'Another candidate has this external id.';
    if (error.code === 'competency_name_taken') this.errors['name'] = 'The library has a competency of this name.';
    this.#refused = Object.keys(this.errors).length > 0;
  }
}
