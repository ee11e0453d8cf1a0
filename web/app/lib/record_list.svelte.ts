import type { Collection, Kept } from '../../sdk';
import { explain } from './explain';
import { readFilter, writeFilter, type Filter } from './filters';

const PAGE = 50;
/** From the last letter typed to the question. */
const PAUSE_MS = 250;

/** A list of a company's things: searched on the server, page by page. */
export class RecordList<T extends Kept, F> {
  items = $state.raw<T[] | null>(null);
  cursor = $state<string | null>(null);
  problem = $state<string | null>(null);
  busy = $state(false);
  filter = $state<Filter>(readFilter(location.hash));
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Answers may overtake each other: only that of the newest question counts. */
  #question = 0;

  constructor(readonly collection: Collection<T, F>) {}

  get narrowed(): boolean {
    return this.filter.q.trim() !== '' || this.filter.state !== 'active';
  }

  /** Asks for what the filter says now; `soon` waits for more letters. */
  narrow(soon = false): void {
    clearTimeout(this.#timer);
    history.replaceState(history.state, '', writeFilter(location.hash, this.filter));
    this.#timer = setTimeout(() => void this.load(), soon ? PAUSE_MS : 0);
  }

  load(): Promise<void> {
    return this.#ask(null);
  }

  more(): Promise<void> {
    return this.#ask(this.cursor);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#question += 1;
  }

  async #ask(cursor: string | null): Promise<void> {
    const question = ++this.#question;
    this.busy = true;
    try {
      const page = await this.collection.list({ ...this.filter, limit: PAGE, cursor });
      if (question !== this.#question) return;
      this.items = cursor === null ? page.items : [...(this.items ?? []), ...page.items];
      this.cursor = page.next_cursor;
      this.problem = null;
    } catch (error) {
      if (question !== this.#question) return;
      this.problem = explain(error);
    }
    this.busy = false;
  }
}
