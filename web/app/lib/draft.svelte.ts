import { kept } from './kept';
import { randomUuid } from './uuid';

interface Kept {
  text: string;
  /** Under which name it was sent and not answered yet. */
  pending: string | null;
  open: boolean;
}

/** What a candidate is writing. It survives a lost line and a reload, until the runtime has it. */
export class Draft {
  readonly #key: string;
  #kept = $state.raw<Kept>({ text: '', pending: null, open: false });

  constructor(sessionId: string) {
    this.#key = `interview-draft:${sessionId}`;
    this.#kept = { ...this.#kept, ...kept.read<Partial<Kept>>(this.#key) };
  }

  get text(): string {
    return this.#kept.text;
  }

  set text(text: string) {
    this.#set({ text });
  }

  get open(): boolean {
    return this.#kept.open;
  }

  set open(open: boolean) {
    this.#set({ open });
  }

  get pending(): string | null {
    return this.#kept.pending;
  }

  /** Its name, the same until it is answered: the same words are not taken twice. */
  submit(): string {
    const id = this.#kept.pending ?? randomUuid();
    this.#set({ pending: id });
    return id;
  }

  sent(id: string): void {
    if (id === this.#kept.pending) this.#set({ text: '', pending: null });
  }

  /** The words stay, to be changed or copied. */
  refused(id: string): void {
    if (id === this.#kept.pending) this.#set({ pending: null });
  }

  #set(change: Partial<Kept>): void {
    this.#kept = { ...this.#kept, ...change };
    kept.write(this.#key, this.#kept);
  }
}
