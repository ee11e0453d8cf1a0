import type { Page } from '../../sdk';
import { explain } from './explain';

const PAGE = 50;

type Ask<T> = (page: { limit: number; cursor?: string | null }) => Promise<Page<T>>;

/** A list with the newest first that changes while somebody looks at it: its first page is read again and again, older ones when asked for. */
export class Feed<T> {
  items = $state.raw<T[] | null>(null);
  cursor = $state.raw<string | null>(null);
  problem = $state<string | null>(null);
  readAt = $state<number | null>(null);
  busy = $state(false);
  /** Where the older pages begin in `items`. */
  #fresh = 0;
  /** An answer to what was asked for before comes too late. */
  #round = 0;

  constructor(
    private readonly ask: Ask<T>,
    private readonly idOf: (item: T) => string,
  ) {}

  /** Something else is wanted: what is shown stays until it is there. */
  restart(): void {
    this.#round += 1;
    this.#fresh = -1;
    this.busy = false;
  }

  refresh = async (): Promise<void> => {
    const round = this.#round;
    try {
      const page = await this.ask({ limit: PAGE });
      if (round !== this.#round) return;
      const older = this.#fresh < 0 ? [] : this.#older(page.items);
      // How far the older pages reach is known already.
      if (older.length === 0) this.cursor = page.next_cursor;
      this.#fresh = page.items.length;
      this.items = [...page.items, ...older];
      this.readAt = Date.now();
      this.problem = null;
    } catch (error) {
      if (round === this.#round) this.problem = explain(error);
    }
  };

  /** What stays below a first page that was read again: the older pages, and what newer items have pushed down to them. */
  #older(first: T[]): T[] {
    const before = this.items ?? [];
    if (before.length <= this.#fresh) return [];
    const last = first.at(-1);
    const known = new Set(first.map(this.idOf));
    const from = last === undefined ? this.#fresh : Math.min(this.#fresh, 1 + before.findIndex((item) => this.idOf(item) === this.idOf(last)));
    return before.slice(from).filter((item) => !known.has(this.idOf(item)));
  }

  async more(): Promise<void> {
    const round = this.#round;
    this.busy = true;
    try {
      const page = await this.ask({ limit: PAGE, cursor: this.cursor });
      if (round !== this.#round) return;
      const known = new Set(page.items.map(this.idOf));
      this.items = [...(this.items ?? []).filter((item) => !known.has(this.idOf(item))), ...page.items];
      this.cursor = page.next_cursor;
    } catch (error) {
      if (round === this.#round) this.problem = explain(error);
    }
    if (round === this.#round) this.busy = false;
  }

  /** One of them as it is now: an older page is not read again. */
  replace(item: T): void {
    this.items = (this.items ?? []).map((each) => (this.idOf(each) === this.idOf(item) ? item : each));
  }
}
